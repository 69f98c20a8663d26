"""Runs and sweeps in processes of their own: starting, watching and reading them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import (
    IMAGES,
    SCALARS,
    EventAccumulator,
)

from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.evaluation.evaluate import main
from sgan_lab.jobs.status import read_status

TINY = ["data=digits", "num_threads=1", "trainer=cpu"]


# One that can be interrupted; its last interval is a short one.
RUN = [*TINY, "data.num_labeled=50", "sample_interval=6", "log_interval=3", "seed=3"]


WHOLE_OUTPUT = "output.txt"


def states(folder):
    return {
        path.parent.name: read_status(path.parent).state for path in folder.glob("*/status.json")
    }


def wait_for(condition, seconds=120):
    """Poll until a condition holds and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return value


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def read_events(folder):
    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, IMAGES: 0})  # 0 for all
    events.Reload()
    return events


def steps(events, tag):
    return [event.step for event in events.Scalars(tag)]


RESULT_SCALARS = ("labeled/class_loss", "generator/loss", "unlabeled/real_loss", "test/accuracy")


def results(folder):
    """All that a run leaves and that an interruption must not change."""
    metrics = json.loads((folder / "metrics.json").read_text())
    events = read_events(folder)
    (path,) = folder.glob("checkpoints/iteration-40.ckpt")
    content = torch.load(path, weights_only=True)
    return {
        "metrics": {
            key: value
            for key, value in metrics.items()
            if "second" not in key and key not in ("date", "git_commit")  # they may change
        },
        "weights": {name: value.tolist() for name, value in content["state_dict"].items()},
        "scalars": {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in RESULT_SCALARS
        },
        "images": [
            (event.step, event.encoded_image_string) for event in events.Images("generator/images")
        ],
    }


PROGRAM = [sys.executable, "-m", "sgan_lab.run"]


@contextlib.contextmanager
def started(folder, *arguments):
    """The program in a process group of its own, as a shell in a terminal starts it."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def starter_of(run):
    """The process that waits for a job's: the parent of the server that this was forked from."""
    pid = read_status(run).pid
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/stat").read_text().split()[3])
    return pid


@contextlib.contextmanager
def owner_of(folder, *prefix):
    """A process that owns a folder and does nothing; started by a command, if one is given."""
    program = (
        "import pathlib, sys, time, sgan_lab.jobs.owner as owner\n"
        "owner.own(pathlib.Path(sys.argv[1])); print('owned', flush=True); time.sleep(600)"
    )
    command = [*prefix, sys.executable, "-c", program, str(folder)]
    with ending(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout.readline() == "owned\n"
        yield process


def wait_for_checkpoint(run):
    """Wait until a run trains."""
    wait_for(lambda: checkpoints(run / "checkpoints"))


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    main()


def check_resumed(command_line, folder, newest):
    """Check that a run whose newest checkpoint and result are lost has them again once resumed."""
    cut = folder.parent / "cut"
    shutil.copytree(folder, cut)
    for path in (*cut.glob(f"checkpoints/{newest.stem}.*"), cut / "metrics.json"):
        path.unlink()
    succeed(command_line("resume=cut"))
    contents = [
        torch.load(path / "checkpoints" / newest.name, weights_only=True) for path in (folder, cut)
    ]
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(*[content[key] for content in contents], rtol=0, atol=0)
    metrics = [json.loads((path / "metrics.json").read_text()) for path in (folder, cut)]
    assert metrics[0]["iterations"] == metrics[1]["iterations"] == contents[0]["global_step"]
    assert metrics[0]["test_loss"] == metrics[1]["test_loss"]


@contextlib.contextmanager
def ending(process):
    """A process that is killed on the way out: a failed test would wait for it."""
    with process:
        try:
            yield process
        finally:
            process.kill()
