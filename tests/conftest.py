import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from sgan_lab import run
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.terminal import TerminalHandler
from tests.processes import RUN, TINY, WHOLE_OUTPUT

RUNS = {"command_line", "baseline_run", "checkpoint", "whole_run"}  # fixtures that train, or can


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start runs as slow."""
    for item in items:
        if RUNS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _no_log_of_another_test():
    """Take away the handlers of a run that logged in this process, and its level."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    for handler in logging.root.handlers[:]:
        if handler not in handlers and isinstance(handler, TerminalHandler | logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Folder of the real MNIST; a test that needs it fails where SGAN_LAB_DATA is set but wrong."""
    root = os.environ.get("SGAN_LAB_DATA")
    if root is None:
        pytest.skip("set SGAN_LAB_DATA to a folder with MNIST/raw to run this test")
    root = Path(root).resolve()
    assert (root / "MNIST" / "raw").is_dir(), f"SGAN_LAB_DATA={root} has no MNIST/raw"
    return root


def made_once(factory: pytest.TempPathFactory, name: str, *arguments: str) -> Path:
    """Folder of a run that all processes of pytest-xdist share: the first to need it trains it."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / name
    with FileLock(f"{folder}.lock"):
        if not (folder / WHOLE_OUTPUT).exists():
            command = [sys.executable, "-m", "sgan_lab.run", *arguments, f"hydra.run.dir={folder}"]
            result = subprocess.run(command, cwd=folder.parent, check=True, capture_output=True)
            (folder / WHOLE_OUTPUT).write_bytes(result.stdout)
    return folder


@pytest.fixture(scope="session")
def baseline_run(tmp_path_factory) -> Path:
    """Folder of a short run on digits, good enough to be right and wrong; tests only read it."""
    return made_once(tmp_path_factory, "baseline", *TINY, "model=supervised", "model.epochs=5")


@pytest.fixture(scope="session")
def checkpoint(baseline_run) -> Path:
    """The checkpoint of `baseline_run`."""
    return checkpoints(baseline_run / "checkpoints")[0]


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> Path:
    """Folder of a run of 40 iterations that was not interrupted; tests only read it."""
    return made_once(tmp_path_factory, "whole", *RUN, "iterations=40")


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


@pytest.fixture
def program(tmp_path, monkeypatch, capsys):
    """The same in this process, for what ends before a run begins; it is faster by the imports."""

    def run_here(*arguments: str) -> subprocess.CompletedProcess:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        monkeypatch.setattr(run, "handle_signals", lambda _: None)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        status = 0
        try:
            run.main()
        except SystemExit as exit_:
            status = exit_.code
            if isinstance(status, str):  # as the interpreter would
                print(status, file=sys.stderr)
                status = 1
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run_here
