"""The jobs of a sweep that Slurm has."""

import getpass
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

SUBMITTED = ".submitit"  # in the folder of a sweep: submitit's folder of each job, by its id
DELAY = 5  # seconds between two calls of squeue, by submitit too
ENDED = "ENDED"  # state of a job that squeue does not list


def squeue() -> list[str]:
    """The command that lists the user's jobs that wait or run."""
    return ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T"]


def parsed(listed: str) -> dict[str, str]:
    """The state of each job that squeue lists, by its id."""
    words = [line.split() for line in listed.splitlines()]
    return dict(each for each in words if len(each) == 2)


def slurm_jobs(folder: Path) -> dict[str, str] | None:
    """The state of each job of a sweep that Slurm has, by its id; None where it does not answer."""
    ids = {path.name for path in (folder / SUBMITTED).glob("[0-9]*")}
    if not ids or shutil.which("squeue") is None:
        return {}
    result = subprocess.run(squeue(), capture_output=True, text=True, check=False)
    if result.returncode:
        return None
    return {job: state.lower() for job, state in parsed(result.stdout).items() if job in ids}


def described(jobs: dict[str, str]) -> str:
    """Jobs that Slurm has, and how to cancel them, as a text of one line."""
    states = Counter(jobs.values())
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    ids = " ".join(jobs)
    return f"Slurm still has jobs of this sweep ({counts}). To cancel them: scancel {ids}"


def wait_for_jobs(folder: Path) -> None:
    """Wait for the jobs of a sweep that Slurm still has, whoever submitted them."""
    jobs = slurm_jobs(folder) or {}
    if jobs:
        print(f"Waiting. {described(jobs)}", flush=True)
    while jobs != {}:
        time.sleep(DELAY)
        jobs = slurm_jobs(folder)  # None where Slurm does not answer now


def ask_squeue() -> None:
    """Have submitit ask squeue, not sacct, for the states of its jobs.

    Many clusters have no accounting, so sacct fails there, and submitit would wait for ever for a
    job that is cancelled before it runs.
    """
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob  # an extra

    class Queue(SlurmInfoWatcher):
        def _make_command(self) -> list[str]:
            return squeue()

        def read_info(self, string: bytes) -> dict[str, dict[str, str]]:
            listed = parsed(string.decode())
            return {job: {"State": listed.get(job, ENDED)} for job in self._registered}

        def is_done(self, job_id: str, mode: str = "standard") -> bool:
            return self.get_state(job_id, mode) == ENDED

    SlurmJob.watcher = Queue(DELAY)
