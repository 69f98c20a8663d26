"""Runs that are cut short, and that go on as if they had not been."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from omegaconf import OmegaConf

from sgan_lab.errors import ConfigError, DataError
from sgan_lab.jobs.resume import changed_settings, complete_arguments, complete_run
from sgan_lab.jobs.status import Status, read_status, write_status
from tests.builders import make_run
from tests.processes import RUN, TINY, results, succeed, wait_for

KILLS = int(os.environ.get("SGAN_LAB_KILLS", "2"))  # more for a thorough test by hand


def parts(folder):
    """What is being written, or was when the run was killed, with its time."""
    found = {}
    for path in folder.glob("checkpoints/*.part"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found.items()


def test_a_run_killed_at_random_moments_ends_like_one_that_was_not(tmp_path, whole_run):
    """Every other kill comes at any moment, the others while a checkpoint is written."""
    generator = random.Random(os.environ.get("SGAN_LAB_KILLS_SEED", "0"))
    duration = json.loads((whole_run / "metrics.json").read_text())["seconds"]
    kills, torn, runs = 0, 0, 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / str(runs)
        arguments = [*RUN, "iterations=40", f"hydra.run.dir={folder}"]
        while read_status(folder).state != "finished":
            before = set(parts(folder))
            command = [sys.executable, "-m", "sgan_lab.run", *arguments]
            with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
                if kills < KILLS:
                    wait_for(lambda run=folder, pid=process.pid: read_status(run).pid == pid)
                    time.sleep(generator.uniform(0, duration))
                    while kills % 2 and process.poll() is None and not parts(folder) - before:
                        time.sleep(0.001)
                    process.kill()
            assert process.returncode in (0, -signal.SIGKILL)
            if process.returncode:
                kills += 1
                torn += bool(parts(folder) - before)
            arguments = [f"resume={folder}"]
        whole, killed = results(whole_run), results(folder)
        for kind, expected in whole.items():
            assert killed[kind] == expected, kind
    print(f"{kills} kills in {runs} runs, {torn} of them while a checkpoint was written")


def test_a_run_may_grow_but_not_change(command_line, tmp_path):
    baseline = [*TINY, "model=supervised", "data.num_labeled=20"]
    succeed(command_line(*baseline, "model.epochs=3", "hydra.run.dir=long"))
    succeed(command_line(*baseline, "model.epochs=1", "hydra.run.dir=run"))

    def refuse(message, *arguments):
        result = command_line("resume=run", *arguments)
        assert result.returncode == 1
        assert f"resume=run: {message}" in result.stderr
        assert result.stderr.count("\n") == 1

    refuse("was run with seed=0 instead of 1; use a new folder", "seed=1", "model.epochs=3")
    refuse("has finished; give a greater iterations or model.epochs")
    refuse("was run with iterations=8000 instead of 9; it can only grow", "iterations=9")
    succeed(command_line("resume=run", "model.epochs=3"))
    long, grown = (
        json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("long", "run")
    )
    assert grown["test_loss"] == long["test_loss"]
    assert grown["iterations"] == long["iterations"] == 3


def test_arguments_are_completed_from_the_sweep(tmp_path):
    overrides = {
        "task": ["seed=0,1", "data=digits"],
        "hydra": ["hydra.mode=MULTIRUN", "hydra/launcher=x"],
    }
    OmegaConf.save({"hydra": {"overrides": overrides}}, tmp_path / "multirun.yaml")
    resume = f"sweep.resume={tmp_path}"
    end = ["hydra.mode=MULTIRUN", f"hydra.sweep.dir={tmp_path}", resume]
    grid, launcher = ["seed=0,1", "data=digits"], "hydra/launcher=x"
    assert complete_arguments([resume]) == [*grid, launcher, *end]
    assert complete_arguments(["-m", "seed=5", resume]) == ["seed=5", launcher, *end]
    assert complete_arguments([resume, "hydra/launcher=y"]) == ["hydra/launcher=y", *grid, *end]
    assert complete_arguments(["seed=1"]) == ["seed=1"]
    with pytest.raises(ConfigError, match=r"sweep.resume=/absent: must be the folder of a sweep"):
        complete_arguments(["sweep.resume=/absent"])


def test_arguments_are_completed_from_the_run(tmp_path):
    overrides = {"task": ["seed=3", "data=digits"], "hydra": ["hydra.run.dir=elsewhere"]}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save({"hydra": {"overrides": overrides}}, tmp_path / ".hydra" / "hydra.yaml")
    assert complete_arguments(["seed=4", f"resume={tmp_path}"]) == [
        *["seed=4", "data=digits", "hydra.mode=RUN"],
        *[f"hydra.run.dir={tmp_path}", f"resume={tmp_path}"],
    ]
    with pytest.raises(ConfigError, match=r"resume=/absent: must be the folder of a run"):
        complete_arguments(["resume=/absent"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", None),
        *(("metrics.json", content) for content in (None, "", "{", "[]")),
        *(("status.json", content) for content in (None, "", "[]")),
    ],
)
def test_a_damaged_run_is_never_taken_for_a_complete_one(tmp_path, file, content):
    """A job that were would lose its own folder to it."""
    folder = make_run(tmp_path / "seed=0", "SGAN", 50, 0, 0.8)
    write_status(folder, Status("finished"))
    config = OmegaConf.load(folder / "config.yaml")
    assert complete_run(config, tmp_path) == folder
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    assert complete_run(config, tmp_path) is None


def test_damaged_settings_of_a_run_are_named(tmp_path):
    folder = make_run(tmp_path / "run", "SGAN", 50, 0, 0.8)
    config = OmegaConf.load(folder / "config.yaml")
    (folder / "config.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"run/config.yaml is no readable configuration"):
        changed_settings(folder, config)


@pytest.mark.parametrize("task", [["--info"], ["--config-dir=x"], [5], [None], [""]])
def test_only_overrides_are_taken_from_a_run(tmp_path, task):
    content = {"hydra": {"overrides": {"task": task, "hydra": []}}}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(content, tmp_path / ".hydra" / "hydra.yaml")
    with pytest.raises(ConfigError, match=r"hydra.yaml cannot be read"):
        complete_arguments([f"resume={tmp_path}"])
