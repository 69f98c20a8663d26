"""Ranks and batch systems in the environment that are not of this run."""

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.processes import TINY, succeed

SHORT = [*TINY, "iterations=1", "sample_interval=1", "model.generator_channels=8"]
# A step of a batch script, as in a Slurm allocation with --ntasks=4.
ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "4"}
TASK = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}

PROBE = """
import os
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_only
from sgan_lab.training.ranks import environment, set_rank
before = rank_zero_only.rank
given = {}
if os.environ["GUARDED"] == "1":
    set_rank(0)
    given = environment(OmegaConf.create())
trainer = Trainer(accelerator="cpu", devices=1, logger=False, **given)
print(before, rank_zero_only.rank, trainer.world_size, trainer.global_rank)
"""


@pytest.fixture
def srun_on_path(tmp_path):
    """The PATH of a login node."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    return f"{srun.parent}{os.pathsep}{os.environ['PATH']}"


def probe(guarded, **environment):
    return subprocess.run(
        [sys.executable, "-c", PROBE],
        env=os.environ | environment | {"GUARDED": str(int(guarded))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_lightning_reads_a_rank_that_is_set_right(name):
    """Where the first value is 0, Lightning has changed and `set_rank` may not be needed."""
    assert probe(True, **{name: "1"}).stdout.split() == ["1", "0", "1", "0"]


def test_lightning_looks_for_slurm_unless_told_not_to(srun_on_path):
    warned, silent = (probe(guarded, PATH=srun_on_path) for guarded in (False, True))
    assert "srun" in warned.stderr
    assert "srun" not in silent.stderr
    refused, taken = (probe(guarded, **ALLOCATION, **TASK) for guarded in (False, True))
    assert refused.returncode == 1
    assert taken.stdout.split() == ["1", "0", "1", "0"]


@pytest.mark.parametrize("environment", [{"LOCAL_RANK": "1"}, ALLOCATION | TASK])
def test_a_run_in_a_batch_system_is_one_process_and_leaves_its_result(
    command_line, tmp_path, srun_on_path, environment
):
    result = succeed(command_line(*SHORT, "hydra.run.dir=run", **environment, PATH=srun_on_path))
    assert "srun" not in result.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["processes"] == 1


def test_a_run_in_two_processes_starts_them_itself(command_line, tmp_path, srun_on_path):
    arguments = [*SHORT, "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=run"]
    environment = ALLOCATION | TASK | {"LOCAL_RANK": "1", "RANK": "1", "PATH": srun_on_path}
    succeed(command_line(*arguments, **environment))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["processes"] == 2
