"""Jobs of a sweep that Slurm still has, when the program that submitted them ends."""

import getpass
import shutil
import subprocess
from collections import Counter
from pathlib import Path

SUBMITTED = ".submitit"  # in the folder of a sweep: submitit's folder of each job, by its id


def slurm_jobs(folder: Path) -> dict[str, str]:
    """The state of each job of a sweep that Slurm runs or has waiting, by its id."""
    ids = {path.name for path in (folder / SUBMITTED).glob("[0-9]*")}
    if not ids or shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i %T"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    listed = [line.split() for line in result.stdout.splitlines()]
    return {words[0]: words[1].lower() for words in listed if len(words) == 2 and words[0] in ids}


def described(jobs: dict[str, str]) -> str:
    """Jobs that Slurm has, and how to cancel them, as a text of one line."""
    states = Counter(jobs.values())
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return (
        f"Slurm still has jobs of this sweep ({counts}). To cancel them: scancel {' '.join(jobs)}"
    )
