import os
import threading
import time

import pytest

from sgan_lab.jobs import cluster
from sgan_lab.jobs.cluster import ask_squeue, described, slurm_jobs, wait_for_jobs


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Has squeue print some lines; for None, fail."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def use(lines):
        command = "false" if lines is None else " ".join(["printf '%s\\n'", *map(repr, lines)])
        (folder / "new").write_text(f"#!/bin/sh\n{command}\n")
        (folder / "new").chmod(0o755)
        (folder / "new").rename(folder / "squeue")  # at once, since it may be called at any time

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


def test_jobs_are_waited_for_until_squeue_says_that_they_have_ended(
    tmp_path, squeue, capsys, monkeypatch
):
    monkeypatch.setattr(cluster, "DELAY", 0.1)
    (tmp_path / ".submitit" / "12").mkdir(parents=True)
    squeue(["12 PENDING"])
    thread = threading.Thread(target=wait_for_jobs, args=(tmp_path,))
    thread.start()
    thread.join(0.5)
    squeue(None)  # it does not answer for a while
    thread.join(0.5)
    assert thread.is_alive()
    squeue(["13 RUNNING"])
    thread.join()
    assert capsys.readouterr().out.startswith("Waiting. Slurm still has jobs of this sweep (1 pend")
    squeue(None)  # nor did it ever
    wait_for_jobs(tmp_path)


def test_submitit_asks_squeue(squeue, monkeypatch):
    from submitit.slurm.slurm import SlurmJob

    monkeypatch.setattr(SlurmJob, "watcher", None)
    ask_squeue()
    watcher = SlurmJob.watcher
    for job, listed, is_done in (
        ("12_0", ["12_0 PENDING", "12_1 SUSPENDED"], False),
        ("12_1", ["12_0 PENDING", "12_1 SUSPENDED"], False),
        ("12_1", None, False),
        ("12_1", ["12_0 PENDING"], True),
    ):
        squeue(listed)
        time.sleep(0.01)  # it asks at most once a millisecond
        assert watcher.is_done(job, mode="force") == is_done
