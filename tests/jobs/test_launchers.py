"""What launchers do when a job of theirs is killed, and jobs that waited in a queue."""

import os
import shutil
import signal
import threading

import pytest
from omegaconf import OmegaConf

from sgan_lab.errors import ConfigError, InUseError
from sgan_lab.jobs import owner
from sgan_lab.jobs.status import read_status
from sgan_lab.jobs.sweep import run_job
from tests.processes import TINY, owner_of, started, starter_of, states, wait_for

pytestmark = pytest.mark.slow

LONG = [*TINY, "iterations=1000000", "sample_interval=1000000"]


def contents(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != owner.FILE
    }


def test_a_killed_worker_of_joblib_is_one_line_with_a_hint(tmp_path):
    sweep = tmp_path / "sweep"
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
    with started(tmp_path, "-m", *LONG, "seed=0,1,2", *launcher) as process:
        for seed in (0, 1):
            wait_for(lambda seed=seed: read_status(sweep / f"seed={seed}").iteration)
        os.kill(starter_of(sweep / "seed=0"), signal.SIGKILL)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith("The sweep failed: TerminatedWorkerError: ")
    assert errors.count("\n") == 1
    assert "3 of 3 runs have no result" in output
    assert f"sweep.resume={sweep}\n" in output
    assert states(sweep) == {"seed=0": "interrupted", "seed=1": "killed"}  # by joblib, as its rule


def test_a_killed_job_of_submitit_leaves_the_others_and_is_one_line(tmp_path):
    sweep = tmp_path / "sweep"
    arguments = ["-m", *TINY, "iterations=1000000,200", "sample_interval=100"]
    launcher = ["hydra/launcher=submitit_local", "hydra.sweep.dir=sweep"]
    with started(tmp_path, *arguments, *launcher) as process:
        long = sweep / "iterations=1000000"
        wait_for(lambda: read_status(long).iteration)
        os.kill(starter_of(long), signal.SIGKILL)
        output, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert errors.startswith("The sweep failed: UncompletedJobError: ")
    assert errors.count("\n") == 1
    assert states(sweep) == {"iterations=1000000": "interrupted", "iterations=200": "finished"}
    assert "1 of 2 runs have no result" in output
    assert f"sweep.resume={sweep}\n" in output


def test_optuna_with_every_trial_failed_is_one_line(command_line):
    too_high = "model.labeled_learning_rate=interval(1e30,1e31)"
    arguments = ["experiment=tune_sgan", *TINY, "iterations=2", "data.num_validation=100", too_high]
    result = command_line(*arguments, "hydra.sweeper.n_trials=1")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.endswith("The sweep failed: ValueError: No trials are completed yet.\n")
    assert "1 of 1 runs have no result" in result.stdout
    assert "sweep.resume" not in result.stdout  # of grids only


@pytest.fixture
def job(baseline_run, tmp_path):
    """Folder and configuration of a complete job of a sweep."""
    folder = tmp_path / "sweep" / "job"
    shutil.copytree(baseline_run, folder)
    return folder, OmegaConf.load(folder / "config.yaml")


@pytest.fixture
def holder(job):
    """A process that owns the folder of the job."""
    with owner_of(job[0]) as process:
        yield process


def test_a_queued_job_that_finds_its_run_complete_is_skipped(job, capsys):
    folder, config = job
    before = contents(folder)
    metrics = run_job(config, folder, 3)
    assert metrics["seed"] == config.seed
    assert contents(folder) == before
    assert capsys.readouterr().out == "#3 is complete: skipped.\n"


@pytest.mark.usefixtures("holder")
def test_a_queued_job_leaves_a_run_that_another_process_runs(job):
    folder, config = job
    (folder / "metrics.json").unlink()
    before = contents(folder)
    with pytest.raises(InUseError):
        run_job(config, folder, 3)
    assert contents(folder) == before


@pytest.mark.parametrize("seed", [0, 1])
def test_a_resumed_sweep_takes_the_result_of_a_job_that_still_runs(
    job, holder, tmp_path, monkeypatch, seed
):
    """It overwrites no result of other settings that the job leaves."""
    monkeypatch.setattr(owner, "POLL", 0.1)
    folder, config = job
    config.sweep.resume = str(folder.parent)
    config.seed = seed
    metrics = folder / "metrics.json"
    metrics.rename(tmp_path / "kept")

    def finish():
        (tmp_path / "kept").rename(metrics)
        holder.kill()

    threading.Timer(1, finish).start()
    if seed == 0:
        assert run_job(config, folder, 3)["seed"] == 0
    else:
        with pytest.raises(ConfigError, match=r"is complete with .*seed=0 instead of 1"):
            run_job(config, folder, 3)
    assert metrics.exists()
