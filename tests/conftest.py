import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Folder of the real MNIST; a test that needs it fails where SGAN_LAB_DATA is set but wrong."""
    root = os.environ.get("SGAN_LAB_DATA")
    if root is None:
        pytest.skip("set SGAN_LAB_DATA to a folder with MNIST/raw to run this test")
    root = Path(root).resolve()
    assert (root / "MNIST" / "raw").is_dir(), f"SGAN_LAB_DATA={root} has no MNIST/raw"
    return root


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
