import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgan_lab.checkpoints import checkpoints

TINY = ["data=digits", "num_threads=1", "trainer=cpu"]
RUN = [*TINY, "data.num_labeled=50", "sample_interval=4", "model.log_interval=1"]


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Folder of the real MNIST; a test that needs it fails where SGAN_LAB_DATA is set but wrong."""
    root = os.environ.get("SGAN_LAB_DATA")
    if root is None:
        pytest.skip("set SGAN_LAB_DATA to a folder with MNIST/raw to run this test")
    root = Path(root).resolve()
    assert (root / "MNIST" / "raw").is_dir(), f"SGAN_LAB_DATA={root} has no MNIST/raw"
    return root


@pytest.fixture(scope="session")
def baseline_run(tmp_path_factory) -> Path:
    """Folder of a short run on digits, good enough to be right and wrong; tests only read it."""
    folder = tmp_path_factory.mktemp("baseline") / "run"
    command = [sys.executable, "-m", "sgan_lab.run", "data=digits", "model=supervised"]
    options = ["model.epochs=5", "num_threads=1", "trainer=cpu", f"hydra.run.dir={folder}"]
    subprocess.run([*command, *options], cwd=folder.parent, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def checkpoint(baseline_run) -> Path:
    """The checkpoint of `baseline_run`."""
    return checkpoints(baseline_run / "checkpoints")[0]


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> Path:
    """Folder of a run of 40 iterations that was not interrupted; tests only read it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    command = [sys.executable, "-m", "sgan_lab.run", *RUN, "iterations=40"]
    command.append(f"hydra.run.dir={folder}")
    subprocess.run(command, cwd=folder.parent, check=True, capture_output=True)
    return folder


@pytest.fixture
def command_line(tmp_path):
    """Runs `python -m sgan_lab.run` in an empty folder and returns the finished process."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "sgan_lab.run", *arguments],
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "100"} | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
