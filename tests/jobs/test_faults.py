"""What the world does to a run: it survives, or ends with one error and a checkpoint that loads."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch

from sgan_lab.data.load import load
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.jobs import status, sweep
from sgan_lab.jobs.status import FILE, Status, read_status, write_status
from tests.builders import make_image_folder, read_folder
from tests.processes import RUN, TINY, started, succeed, wait_for_checkpoint

pytestmark = pytest.mark.slow


def test_a_run_folder_that_is_deleted_ends_the_run_with_one_error(tmp_path):
    folder = tmp_path / "run"
    with started(tmp_path, *RUN, "iterations=1000000", "hydra.run.dir=run") as process:
        wait_for_checkpoint(folder)
        shutil.rmtree(folder)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch(r"Error executing .*\n.*No such file or directory: .*/run/.*\n", errors)


def test_a_run_whose_classes_have_changed_does_not_continue(command_line, tmp_path):
    make_image_folder(tmp_path / "images")
    arguments = ["data=image_folder", "data.root=images", "data.batch_size=2", *TINY[1:]]
    succeed(command_line(*arguments, "iterations=1", "hydra.run.dir=run"))
    for part in ("labeled", "test"):
        (tmp_path / "images" / part / "dog").rename(tmp_path / "images" / part / "fox")
    result = command_line("resume=run", "iterations=2")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "missing: dog; new: fox" in result.stderr.splitlines()[-1]
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == [
        "iteration-1.ckpt"
    ]


@pytest.mark.parametrize("kind", ["image folder", "MNIST"])
def test_data_files_may_be_truncated_once_they_are_read(tmp_path, kind, request):
    if kind == "MNIST":
        shutil.copytree(request.getfixturevalue("mnist_root") / "MNIST", tmp_path / "MNIST")
        split = {"num_labeled": 100, "labeled_split": "first", "batch_size": 32}
        loaded = load("MNIST", str(tmp_path), **split)
    else:
        loaded = read_folder(make_image_folder(tmp_path))
    tensors = (*loaded.labeled, loaded.unlabeled_images, *loaded.test)
    before = [tensor.clone() for tensor in tensors]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        os.truncate(path, 0)
    assert all(map(torch.equal, tensors, before))


def test_it_needs_no_terminal_and_no_input(tmp_path):
    program = [sys.executable, "-m", "sgan_lab.run", *TINY, "model=supervised", "model.epochs=1"]
    with (tmp_path / "output").open("w") as output:
        result = subprocess.run(
            ["bash", "-c", 'exec "$@" <&-', "-", *program, "hydra.run.dir=run"],
            cwd=tmp_path,
            env=os.environ | {"TERM": "dumb"},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (result.returncode, result.stderr) == (0, "")
    lines = (tmp_path / "output").read_text().splitlines()
    assert lines[0].startswith("4: class loss ")
    assert lines[1].strip() == "Result"


def test_a_home_that_cannot_be_written_to_is_not_worth_a_warning():
    """Nobody can write to /proc/1, the superuser included."""
    program = "import sgan_lab, matplotlib; assert '/proc/' not in matplotlib.get_cachedir()"
    kept = {key: value for key, value in os.environ.items() if key.startswith(("PATH", "PYTHON"))}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "HOME": "/proc/1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_runs_and_sweeps_of_the_same_second_have_folders_of_their_own(command_line):
    for kind in ("run", "sweep"):
        result = command_line("--cfg", "hydra", "--resolve", "-p", f"hydra.{kind}")
        assert re.search(
            r"dir: outputs/(multirun/)?[\d-]{10}/\d\d-\d\d-\d\d-\d{6}\n", result.stdout
        )


def test_a_clock_that_is_set_back_hides_no_job_and_kills_no_run(tmp_path, monkeypatch):
    (tmp_path / "before").mkdir()
    write_status(tmp_path / "before", Status("failed"))
    progress = sweep.SweepProgress(tmp_path, 2, "accuracy")
    (tmp_path / "job").mkdir()
    write_status(tmp_path / "job", Status("failed"))
    os.utime(tmp_path / "job" / FILE, (0, 0))
    progress.look()
    assert progress.ended == {tmp_path / "job": "failed"}

    write_status(tmp_path, Status("running", host="another"))
    now = time.time()
    monkeypatch.setattr(status.time, "time", lambda: now - 1e6)
    assert read_status(tmp_path).state == "running"
