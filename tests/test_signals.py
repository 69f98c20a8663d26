"""Real signals to real processes on tiny data."""

import os
import signal
import subprocess
import sys

import pytest

from sgan_lab.evaluation.checkpoint_files import checkpoints, iteration_of, newest_intact
from sgan_lab.jobs.status import read_status
from sgan_lab.signals import SIGNALS
from tests.processes import (
    RUN,
    TINY,
    ending,
    results,
    started,
    starter_of,
    states,
    succeed,
    wait_for,
    wait_for_checkpoint,
)

pytestmark = pytest.mark.slow


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
    (events,) = folder.glob("events.*")  # as if the clock was set back before the run goes on
    events.rename(folder / "events.out.tfevents.4000000000.host")
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
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with ending(subprocess.Popen(command, cwd=tmp_path, **pipes)) as process:
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


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_closed_terminal_and_a_time_limit_save_a_checkpoint(tmp_path, number):
    folder = tmp_path / "run"
    long = [*TINY, "iterations=1000000", "sample_interval=1000000", "hydra.run.dir=run"]
    with started(tmp_path, *long) as process:
        wait_for(lambda: read_status(folder).iteration)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == f"Interrupted. To go on: resume={folder}\n"
    status = read_status(folder)
    assert (status.state, status.error) == (
        "interrupted",
        f"interrupted: {number.name}, {SIGNALS[number]}",
    )
    assert iteration_of(newest_intact(folder / "checkpoints")) == status.iteration


def test_a_run_outlives_the_terminal_under_nohup(tmp_path):
    """Nohup ignores SIGHUP, and so does what it starts."""
    program = "import signal, sgan_lab.run; signal.raise_signal(signal.SIGHUP); print('alive')"
    command = ["nohup", sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "alive\n"


def test_submitit_queues_a_job_again_that_has_saved_at_its_time_limit(tmp_path, whole_run):
    """Submitit has Slurm send SIGUSR2 to its process before the time limit."""
    sweep = tmp_path / "sweep"
    job = sweep / "iterations=40"
    command = ["-m", *RUN, "iterations=40,4", "hydra/launcher=submitit_local"]
    with started(tmp_path, *command, "hydra.sweep.dir=sweep") as process:
        wait_for_checkpoint(job)
        os.kill(starter_of(job), signal.SIGUSR2)
        wait_for(lambda: read_status(job).error == "interrupted: SIGUSR2, a time limit")
        saved = iteration_of(checkpoints(job / "checkpoints")[0])
        assert read_status(job).iteration == saved < 40
        output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, output + errors
    assert "finished: test accuracy" in output
    assert results(job) == results(whole_run)


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
    assert "2 of 2 runs have no result" in output
    assert list(sweep.glob("iterations=4/*")) == []
    status = read_status(first)
    assert iteration_of(checkpoints(first / "checkpoints")[0]) == status.iteration
    with pytest.raises(ProcessLookupError):
        os.kill(status.pid, 0)
    assert "Traceback" not in (first / "run.log").read_text()

    succeed(command_line("sweep.resume=sweep"))
    assert states(sweep) == {"iterations=40": "finished", "iterations=4": "finished"}
    assert results(first) == results(whole_run)


def test_a_signal_between_two_jobs_of_a_sweep_ends_it_with_a_hint(tmp_path):
    """Jobs that never started are counted."""
    program = (
        "import signal, sgan_lab.run as r\n"
        "run_job = r.sweep.run_job\n"
        "def run_and_interrupt(*arguments):\n"
        "    result = run_job(*arguments)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return result\n"
        "r.sweep.run_job = run_and_interrupt\n"
        "r.main()"
    )
    arguments = ["-m", *TINY, "iterations=1", "seed=0,1,2", "hydra.sweep.dir=sweep"]
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 130
    assert result.stderr == ""
    assert states(tmp_path / "sweep") == {"seed=0": "finished"}
    assert "2 of 3 runs have no result" in result.stdout
    assert f"To go on: sweep.resume={tmp_path / 'sweep'}" in result.stdout
