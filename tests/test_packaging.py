"""The wheel works from any folder: it holds the configurations and the report's templates."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_program_runs_from_a_wheel_in_another_folder(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    expected = {path.relative_to(ROOT) for path in (ROOT / "conf").rglob("*.yaml")}
    packaged = (tmp_path / "installed" / "sgan_lab").rglob("*.yaml")
    assert {path.relative_to(tmp_path / "installed" / "sgan_lab") for path in packaged} == expected
    for name in ("report.html", "report.md"):
        assert (tmp_path / "installed" / "sgan_lab" / "report" / name).is_file()
    (entry_points,) = (tmp_path / "installed").glob("*.dist-info/entry_points.txt")
    assert "sgan-lab = sgan_lab.cli:main" in entry_points.read_text()

    result = subprocess.run(
        [sys.executable, "-m", "sgan_lab.run", "--info", "searchpath"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path / "installed" / "sgan_lab" / "conf") in result.stdout


def test_torch_is_a_release_whose_weights_only_is_safe():
    """CVE-2025-32434: below 2.6 a checkpoint's code runs in spite of weights_only."""
    (lowest,) = re.findall(r'"torch>=([\d.]+),', (ROOT / "pyproject.toml").read_text())
    assert tuple(map(int, lowest.split("."))) >= (2, 6)
