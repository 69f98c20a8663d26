"""Whole sweeps on tiny data, and what can go wrong in them."""

import json
import os
import signal
import subprocess
import sys

import joblib
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from sgan_lab.errors import ConfigError
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.jobs.status import read_status
from sgan_lab.jobs.sweep import check_threads
from tests.builders import digits, make_image_folder
from tests.processes import TINY, ending, run_main, states, wait_for

pytestmark = pytest.mark.slow

LONG = [*TINY, "iterations=1000000", "sample_interval=10"]
SHORT = [*TINY, "iterations=2"]


def test_a_failed_job_leaves_the_others_and_is_run_again_by_resume(command_line, tmp_path):
    for name in ("good", "bad"):
        make_image_folder(tmp_path / name)
    damaged = tmp_path / "bad" / "unlabeled" / "0.jpg"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"no image")
    arguments = ["data=image_folder", "data.root=bad,good", "data.batch_size=2", "iterations=2"]
    result = command_line("-m", *arguments, "hydra.sweep.dir=sweep")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "data.root=bad failed: bad/unlabeled/0.jpg is no readable image" in result.stdout
    sweep = tmp_path / "sweep"
    assert states(sweep) == {"data.root=bad": "failed", "data.root=good": "finished"}
    assert "0.jpg is no readable" in (sweep / "data.root=bad" / "run.log").read_text()
    assert "1 of 2 runs have no result" in result.stdout
    report = (sweep / "report.md").read_text()
    without_result = report.split("## Runs without a result")[1].split("## Runs")[0]
    assert "data.root=bad" in without_result
    assert "data.root=good" not in without_result

    damaged.write_bytes(whole)
    complete = sweep / "data.root=good" / "metrics.json"
    before = complete.stat().st_mtime_ns
    result = command_line("sweep.resume=sweep")
    assert result.returncode == 0, result.stderr
    assert "1 of 2 jobs are complete" in result.stdout
    assert states(sweep) == {"data.root=bad": "finished", "data.root=good": "finished"}
    assert complete.stat().st_mtime_ns == before
    assert len(list((sweep / "data.root=bad").glob("events.out.*"))) == len(
        list((sweep / "data.root=good").glob("events.out.*"))
    )
    assert "## Runs without a result" not in (sweep / "report.md").read_text()


def test_a_resumed_sweep_may_grow_but_overwrites_no_result(command_line, tmp_path):
    arguments = ["-m", *SHORT, "model=supervised", "model.epochs=1", "seed=0,1"]
    result = command_line(*arguments, "hydra.sweep.dir=sweep")
    assert result.returncode == 0, result.stderr
    sweep = tmp_path / "sweep"
    assert "Test accuracy" in result.stdout
    assert f"Results: {sweep / 'report.html'}" in result.stdout
    assert (sweep / "report.html").is_file()
    of_seeds = [
        torch.load(path, weights_only=True)["state_dict"]["discriminator.layers.0.weight"]
        for path in sweep.glob("seed=*/checkpoints/*.ckpt")
    ]
    assert len(of_seeds) == 2
    assert not torch.equal(*of_seeds)
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/metrics.json")}
    assert len(before) == 2
    grown = [*arguments[:-1], "seed=0", "data.num_labeled=100,50", "sweep.resume=sweep"]
    result = command_line(*grown)
    assert result.returncode == 0, result.stderr
    assert "1 of 2 jobs are complete" in result.stdout
    assert len(list(sweep.glob("*/metrics.json"))) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before

    result = command_line(*grown, "model.learning_rate=0.5")
    assert result.returncode == 1
    assert "=50 is complete with model.learning_rate=0.001 instead of 0.5" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_sweep_over_the_classes_of_unlabeled_images(command_line, tmp_path, monkeypatch):
    arguments = [*TINY, "data.classes=[2,3,4]", "data.unlabeled_classes=[3,4],[5]", "iterations=1"]
    arguments += ["data.num_labeled=30", "data.labeled_split=balanced", "hydra.sweep.dir=sweep"]
    result = command_line("-m", *arguments)
    assert result.returncode == 0, result.stderr
    sweep = tmp_path / "sweep"
    everything = digits(1437, "first", 32)
    counts = everything.labeled.labels.bincount()
    expected = {"[3,4]": counts[3] + counts[4] - 20, "[5]": counts[5]}
    found = {
        path.parent.name: json.loads(path.read_text()) for path in sweep.glob("*/metrics.json")
    }
    assert {name: metrics["num_unlabeled"] for name, metrics in found.items()} == {
        f"data.unlabeled_classes={classes}": count for classes, count in expected.items()
    }
    groups = pd.read_csv(sweep / "summary.csv")
    assert groups["data.unlabeled_classes"].tolist() == ["[3, 4]", "[5]"]
    assert "data.classes" not in groups

    job = "data.unlabeled_classes=[5]"
    run_main(monkeypatch, sweep / job / "checkpoints" / "iteration-1.ckpt")
    written = json.loads((sweep / job / "evaluation" / "evaluation.json").read_text())
    assert written["images"] == everything.test.labels.bincount()[2:5].sum()
    assert list(written["class_accuracy"]) == ["2", "3", "4"]
    assert written["errors"] == found[job]["test_errors"]

    result = command_line("sweep.resume=sweep")
    assert "2 of 2 jobs are complete" in result.stdout, result.stderr


def test_killed_jobs_and_sweeps_lose_only_what_was_running(tmp_path):
    sweep = tmp_path / "sweep"
    command = [
        *[sys.executable, "-m", "sgan_lab.run", "-m", *LONG, "hydra/launcher=joblib"],
        *["hydra.launcher.n_jobs=2", "seed=0,1,2", f"hydra.sweep.dir={sweep}"],
    ]
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": "2"}
    with ending(subprocess.Popen(command, cwd=tmp_path, env=environment)) as process:
        first = wait_for(lambda: read_status(sweep / "seed=0").iteration and sweep / "seed=0")
        os.kill(read_status(first).pid, signal.SIGKILL)
        wait_for(lambda: read_status(first).error == "killed by SIGKILL")
        wait_for(lambda: read_status(sweep / "seed=2").iteration)
        assert states(sweep) == {"seed=0": "killed", "seed=1": "running", "seed=2": "running"}

        refused = subprocess.run(
            [sys.executable, "-m", "sgan_lab.run", f"sweep.resume={sweep}"],
            capture_output=True,
            text=True,
            check=False,
        )
        *notes, error = refused.stderr.splitlines()
        assert refused.returncode == 1
        assert [note for note in notes if "hydra/launcher=joblib" in note] == notes
        assert f"{sweep} is in use by process {process.pid} on " in error
        process.kill()
    ended = {"seed=0": "killed", "seed=1": "interrupted", "seed=2": "interrupted"}
    wait_for(lambda: states(sweep) == ended)
    assert checkpoints(sweep / "seed=1" / "checkpoints")


def test_a_full_disk_is_an_error_of_the_job_it_meets(tmp_path):
    """The baseline's checkpoint fits into a quota of 8 MB a file, the SGAN's does not."""
    command = [sys.executable, "-m", "sgan_lab.run", "-m", *SHORT, "model=sgan,supervised"]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 8000; exec "$@"', "-", *command, "hydra.sweep.dir=sweep"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert states(tmp_path / "sweep") == {"model=sgan": "failed", "model=supervised": "finished"}
    assert "File too large" in read_status(tmp_path / "sweep" / "model=sgan").error


def test_submitit_runs_each_job_as_a_job_of_its_own(command_line, tmp_path):
    result = command_line(
        *["-m", *SHORT, "model=supervised", "model.epochs=1", "seed=0,1", "hydra.sweep.dir=sweep"],
        *["hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=1"],
    )
    assert result.returncode == 0, result.stderr
    assert states(tmp_path / "sweep") == {"seed=0": "finished", "seed=1": "finished"}


def test_slurm_gets_what_the_preset_says(command_line):
    result = command_line("--cfg", "hydra", "-p", "hydra.launcher", "hydra/launcher=slurm")
    launcher = OmegaConf.create(result.stdout)
    assert launcher._target_.endswith(".SlurmLauncher")
    assert (launcher.cpus_per_task, launcher.max_num_timeout) == (2, 20)


def test_optuna_maximizes_the_chosen_metric_on_the_validation_images(command_line, tmp_path):
    arguments = ["experiment=tune_sgan", *SHORT, "hydra.sweeper.n_trials=2"]
    wrong = command_line(*arguments, "data.num_validation=100", "++sweep.metric=macrof1")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert wrong.stderr.startswith("sweep.metric=macrof1: must be one of accuracy, errors, ")
    arguments.append("++sweep.metric=macro_f1")
    refused = command_line(*arguments, "data.num_validation=0")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "data.num_validation=0: must be > 0" in refused.stderr
    assert list(tmp_path.iterdir()) == []

    storage = ["hydra.sweeper.storage=sqlite:///trials.db", "hydra.sweeper.study_name=tune"]
    result = command_line(*arguments, *storage, "data.num_validation=100", "hydra.sweep.dir=sweep")
    assert (tmp_path / "trials.db").is_file()
    assert result.returncode == 0, result.stderr
    best = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("sweep/*/metrics.json")]
    assert len(runs) == 2
    assert best.best_value == max(run["validation_macro_f1"] for run in runs)
    assert result.stdout.count("finished: validation macro f1 ") == 2
    assert "Test macro f1" in result.stdout
    assert "## Groups of runs, test macro f1" in (tmp_path / "sweep" / "report.md").read_text()
    rates = {
        OmegaConf.load(path).model.generator_learning_rate
        for path in tmp_path.glob("sweep/*/config.yaml")
    }
    assert best.best_params["model.generator_learning_rate"] in rates
    assert len(rates) == 2


@pytest.mark.parametrize(
    ("num_parallel", "num_threads", "message"),
    [
        (2, None, None),
        (2, 2, None),
        (1, 8, None),
        (2, 3, r"num_threads=3: must be 1 to 2 or null with 2 jobs at once on 4 cores"),
        (5, None, r"hydra.launcher.n_jobs=5: must be at most 4, the number of cores"),
    ],
)
def test_parallel_jobs_share_the_cores(monkeypatch, num_parallel, num_threads, message):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    launcher = {"n_jobs": num_parallel}
    config = OmegaConf.create({"num_threads": num_threads, "hydra": {"launcher": launcher}})
    if message:
        with pytest.raises(ConfigError, match=message):
            check_threads(config, num_parallel)
        return
    check_threads(config, num_parallel)
    assert os.environ["OMP_NUM_THREADS"] == ("2" if num_parallel == 2 else "9")
