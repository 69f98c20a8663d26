"""Real signals to real processes on tiny data."""

import os
import signal
import subprocess
import sys

import pytest

from sgan_lab.jobs.status import read_status
from sgan_lab.training.checkpoints import checkpoints, iteration_of
from tests.processes import (
    RUN,
    TINY,
    results,
    started,
    states,
    succeed,
    wait_for,
    wait_for_checkpoint,
)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(command_line, tmp_path, whole_run):
    folder = tmp_path / "run"
    with started(tmp_path, *RUN, "iterations=40", "hydra.run.dir=run") as process:
        wait_for_checkpoint(folder)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == f"Interrupted. To go on: resume={folder}\n"
    assert "Result" not in output
    status = read_status(folder)
    assert status.state == "interrupted"
    assert 0 < status.iteration < 40
    assert iteration_of(checkpoints(folder / "checkpoints")[0]) == status.iteration
    succeed(command_line("resume=run"))
    whole, resumed = results(whole_run), results(folder)
    for kind, expected in whole.items():
        assert resumed[kind] == expected, kind


def test_two_sigints_end_a_run_at_once(tmp_path):
    """The second comes within a training step that never ends."""
    folder = tmp_path / "run"
    program = (
        "import time, sgan_lab.algorithms.sgan as s, sgan_lab.run as r\n"
        "def step(*_):\n"
        "    print('step', flush=True)\n"
        "    while True: time.sleep(0.1)\n"
        "s.SGAN.training_step = step\n"
        "r.main()"
    )
    command = [sys.executable, "-c", program, *TINY, "hydra.run.dir=run"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == f"Interrupted. To go on: resume={folder}\n"
    assert read_status(folder).state == "interrupted"


def test_before_training_a_signal_ends_the_program_without_a_traceback(tmp_path):
    with started(tmp_path, *TINY, "hydra.run.dir=run") as process:
        wait_for((tmp_path / "run" / "config.yaml").exists)  # torch is being imported
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors == f"Interrupted. To go on: resume={tmp_path / 'run'}\n"


def test_an_interrupted_sweep_saves_its_job_and_goes_on(command_line, tmp_path, whole_run):
    """Ctrl-C reaches all processes of a terminal's foreground group.

    In the end the job equals a single run of the same seed.
    """
    sweep, first = tmp_path / "sweep", tmp_path / "sweep" / "iterations=40"
    with started(tmp_path, "-m", *RUN, "iterations=40,4", "hydra.sweep.dir=sweep") as process:
        wait_for_checkpoint(first)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == ""
    assert f"To go on: sweep.resume={sweep}" in output
    assert states(sweep) == {"iterations=40": "interrupted"}
    assert list(sweep.glob("iterations=4/*")) == []
    status = read_status(first)
    assert iteration_of(checkpoints(first / "checkpoints")[0]) == status.iteration
    with pytest.raises(ProcessLookupError):
        os.kill(status.pid, 0)
    assert "Traceback" not in (first / "run.log").read_text()

    succeed(command_line("sweep.resume=sweep"))
    assert states(sweep) == {"iterations=40": "finished", "iterations=4": "finished"}
    assert results(first) == results(whole_run)
