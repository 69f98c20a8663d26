import os

import pytest

from sgan_lab.jobs.cluster import described, slurm_jobs


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Has squeue print some lines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def use(lines):
        (folder / "squeue").write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(map(repr, lines)))
        (folder / "squeue").chmod(0o755)

    return use


def test_only_the_jobs_of_the_sweep_are_told(tmp_path, squeue):
    sweep = tmp_path / "sweep"
    for name in ("12_0", "12_1", "12_2", "not a job"):
        (sweep / ".submitit" / name).mkdir(parents=True)
    squeue(["12_1 RUNNING", "12_2 PENDING", "13_0 RUNNING", "squeue: an odd line"])
    jobs = slurm_jobs(sweep)
    assert jobs == {"12_1": "running", "12_2": "pending"}
    assert described(jobs) == (
        "Slurm still has jobs of this sweep (1 pending, 1 running)."
        " To cancel them: scancel 12_1 12_2"
    )


def test_without_slurm_there_are_none(tmp_path, monkeypatch):
    (tmp_path / ".submitit" / "12_0").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm_jobs(tmp_path) == {}
