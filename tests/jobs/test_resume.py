"""Runs that are cut short, and that go on as if they had not been."""

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.config.settings import experiment_settings
from sgan_lab.errors import ConfigError, DataError
from sgan_lab.jobs import owner
from sgan_lab.jobs.resume import RUN as RESUME
from sgan_lab.jobs.resume import (
    changed_settings,
    check_resumed_run,
    complete_arguments,
    complete_settings,
    to_go_on,
)
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


def test_the_data_of_a_run_may_have_moved(tmp_path):
    folder = make_run(tmp_path / "run", "SGAN", 50, 0)
    config = OmegaConf.load(folder / "config.yaml")
    config.data = {"_target_": "sgan_lab.data.image_folder.image_folder", "root": "old"}
    OmegaConf.save(config, folder / "config.yaml")
    config.resume, config.hydra = str(folder), {"run": {"dir": str(folder)}}
    config.data.root = "new"
    check_resumed_run(config)
    owner.release(folder)
    config.data.channels = 3
    with pytest.raises(ConfigError, match=r"with data\.channels=None instead of 3"):
        check_resumed_run(config)
    owner.release(folder)


def save_overrides(folder, task, of_hydra=(), name=".hydra/hydra.yaml", **hydra):
    """The file in which Hydra leaves the overrides of a run, or of a sweep."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    content = {"overrides": {"task": list(task), "hydra": list(of_hydra)}, **hydra}
    OmegaConf.save({"hydra": content}, folder / name)
    return folder


def test_arguments_are_completed_from_the_sweep(tmp_path, capsys):
    grid = ["seed=0,1", "data=digits", "+experiment=mine"]
    of_hydra = ["hydra.mode=MULTIRUN", "hydra/launcher=joblib", "+hydra.job.env_set={PATH: x}"]
    save_overrides(tmp_path, grid, of_hydra, "multirun.yaml")
    resume = f"sweep.resume={tmp_path}"
    quoted = f"'{tmp_path}'"
    end = ["hydra.mode=MULTIRUN", f"hydra.sweep.dir={quoted}", f"sweep.resume={quoted}"]

    def completed(*arguments):
        option, *overrides = complete_arguments([*arguments, resume])
        assert option == "--multirun"
        return overrides

    assert completed() == [*grid, *end]
    left_out = capsys.readouterr().err
    assert left_out.startswith("Not taken over from the earlier sweep: hydra/launcher=joblib ")
    assert left_out.count("\n") == 1
    assert "env_set" in left_out
    assert completed("-m", "seed=5") == ["seed=5", *grid[1:], *end]
    assert completed("hydra/launcher=y") == [*grid, "hydra/launcher=y", *end]
    assert "launcher" not in capsys.readouterr().err.split("\n")[-2]
    assert completed("num_threads=2", "data=mnist") == [
        *["seed=0,1", "data=mnist", "+experiment=mine", "num_threads=2"],
        *end,
    ]
    for options in (["--config-dir", "conf"], ["--config-dir=conf"]):
        found = complete_arguments([*options, resume, "seed=2"])
        assert found == [*options, "--multirun", "seed=2", *grid[1:], *end]
    assert complete_arguments(["seed=1"]) == ["seed=1"]
    with pytest.raises(ConfigError, match=r"sweep.resume=/absent: must be the folder of a sweep"):
        complete_arguments(["sweep.resume=/absent"])


def test_arguments_are_completed_from_the_run(tmp_path):
    save_overrides(tmp_path, ["seed=3", "data=digits", "resume=old"], ["hydra.run.dir=elsewhere"])
    assert complete_arguments(["seed=4", f"resume={tmp_path}"]) == [
        *["seed=4", "data=digits", "hydra.mode=RUN"],
        *[f"hydra.run.dir='{tmp_path}'", f"resume='{tmp_path}'"],
    ]
    with pytest.raises(ConfigError, match=r"resume=/absent: must be the folder of a run"):
        complete_arguments(["resume=/absent"])


def test_a_folder_of_configurations_is_to_be_given_again(tmp_path, capsys):
    sources = [{"path": "/mine", "provider": "command-line"}, {"path": "x", "provider": "main"}]
    save_overrides(tmp_path, ["experiment=mine"], runtime={"config_sources": sources})
    complete_arguments([f"resume={tmp_path}"])
    assert "Not taken over from the earlier run: --config-dir=/mine;" in capsys.readouterr().err
    complete_arguments(["--config-dir=/mine", f"resume={tmp_path}"])
    assert capsys.readouterr().err == ""


NAMES = [
    "seed=1,model=sgan",
    "a (b) c",
    "it's",
    'a"b',
    "ä日本",
    "a,b",
    "[x]",
    "${seed}",
    "a\\b",
    "a: {b}",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_quoted_by_hydras_rules_and_the_hint_by_the_shells(tmp_path, monkeypatch, name):
    folder = save_overrides(tmp_path / name, ["seed=3"])
    monkeypatch.setattr(sys, "argv", ["run", "--config-dir", "my conf", "seed=3"])
    command = to_go_on(RESUME, folder).removeprefix("To go on: ")
    options = shlex.split(command)
    assert options == ["--config-dir=my conf", f"resume={folder}"]
    for argument in (options[1], complete_arguments(options[1:])[-1]):
        *_, run_dir, resume = complete_arguments([argument])
        with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
            config = compose("config", [run_dir, resume], return_hydra_config=True)
        assert config.resume == config.hydra.run.dir == str(folder)


HOSTILE = [
    ["model._target_=os.system"],
    ["+callbacks.x={_target_: subprocess.Popen, args: [touch, x]}"],
    ["+callbacks.x._target_=sgan_lab.jobs.sweep.clear"],
    ["+callbacks.x={a: [{_target_: torch.load}]}"],
    ["data._target_=mine.data,other.data"],
    ["model.discriminator=evil.Net"],
    ["model.discriminator=mlp,evil.Net"],
    ["model.discriminator=${data.root}", "data.root=evil.Net"],
    ["metrics=[evil.metric]"],
    ["data.source={_target_: evil.load}"],
    ["logger.mlflow.tracking_uri=http://evil"],
    ["+callbacks.x={_target_: '${y}'}"],
    ["model=../../evil"],
    ["experiment=/tmp/evil"],
    ["logger=[tensorboard,../evil]"],
    ["+model@hydra.callbacks=evil"],
    ["model@_global_=evil"],
    ["data.root=${oc.env:SECRET}"],
    ["data.root='${oc.${x}:SECRET}'"],
    ["data.root='\\${oc.env:SECRET}'"],
    ["callbacks.x={y: '${oc.create:{_target_: os.system}}'}"],
    ["callbacks.checkpoint.dirpath=/home"],
    ["logger.tensorboard={save_dir: /home}"],
]


@pytest.mark.parametrize("task", HOSTILE, ids=lambda task: task[0])
def test_a_strangers_override_that_could_do_harm_is_refused(tmp_path, task):
    save_overrides(tmp_path, ["seed=3", *task])
    with pytest.raises(ConfigError, match=r"give it again to allow it"):
        complete_arguments([f"resume={tmp_path}"])
    save_overrides(tmp_path, ["seed=0,1", *task], name="multirun.yaml")
    with pytest.raises(ConfigError, match=r"give it again to allow it"):
        complete_arguments([f"sweep.resume={tmp_path}"])


@pytest.mark.parametrize(
    ("task", "again"),
    [
        (
            ["model._target_=mine.Model", "+callbacks.x._target_=mine.x.Callback"],
            ["model._target_="],
        ),
        (["model.discriminator=mine.Net", "metrics=[mine.best]"], ["model.discriminator=mine.Net"]),
        (["callbacks.checkpoint.dirpath=/home"], ["callbacks.checkpoint.dirpath=/home"]),
    ],
)
def test_what_the_user_names_again_is_allowed(tmp_path, task, again):
    again = [f"{text}mine.Model" if text.endswith("_target_=") else text for text in again]
    save_overrides(tmp_path, ["seed=3", *task])
    found = complete_arguments([*again, f"resume={tmp_path}"])
    assert found[: len(task) + 1] == ["seed=3", *task]


@pytest.mark.parametrize(
    "task",
    [
        ["model=sgan", "model.discriminator=mlp", "logger=[tensorboard,csv]", "metrics=[]"],
        ["model=vat", "data.root=../data", "data.classes=[3,5]", "experiment=best"],
        ["model.learning_rate=${model.weight}", "+trainer.max_time=${now:%d}:00:00:00"],
        ["+callbacks.x._target_=pytorch_lightning.callbacks.LearningRateMonitor"],
        ["~callbacks.samples", "model.weight=1,2", "seed=range(3)", "model=glob(*)"],
    ],
)
def test_harmless_overrides_are_taken_over(tmp_path, task):
    save_overrides(tmp_path, task)
    assert complete_arguments([f"resume={tmp_path}"])[: len(task)] == task


@pytest.mark.parametrize(
    "of_hydra",
    [
        "+hydra.job.env_set={PATH: /evil}",
        "hydra.output_subdir=../evil",
        "hydra/launcher=evil",
        "hydra.launcher._target_=os.system",
        "+hydra.callbacks.x._target_=os.system",
        "~hydra.callbacks.check_config",
        "hydra.searchpath=[file:///evil]",
        "hydra/job_logging=evil",
    ],
)
@pytest.mark.parametrize("place", ["task", "hydra"])
def test_nothing_of_hydras_own_is_taken_over(tmp_path, capsys, of_hydra, place):
    task, others = (["seed=3", of_hydra], []) if place == "task" else (["seed=3"], [of_hydra])
    save_overrides(tmp_path, task, others)
    assert complete_arguments([f"resume={tmp_path}"])[:2] == ["seed=3", "hydra.mode=RUN"]
    assert "Not taken over from the earlier run" in capsys.readouterr().err


def test_a_run_of_version_0_1_is_not_gone_on_with(tmp_path):
    save_overrides(tmp_path, ["seed=3"])
    OmegaConf.save({"model": {"_target_": "sgan_lab.sgan.SGAN"}}, tmp_path / "config.yaml")
    with pytest.raises(DataError, match=r"is a run of sgan_lab 0\.1"):
        complete_arguments([f"resume={tmp_path}"])
    save_overrides(tmp_path / "sweep", ["seed=3,4"], name="multirun.yaml")
    (tmp_path / "sweep" / "seed=3").mkdir()
    (tmp_path / "config.yaml").rename(tmp_path / "sweep" / "seed=3" / "config.yaml")
    with pytest.raises(DataError, match=r"is a run of sgan_lab 0\.1"):
        complete_arguments([f"sweep.resume={tmp_path / 'sweep'}"])


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
    settings = experiment_settings(OmegaConf.load(folder / "config.yaml"))
    assert complete_settings(tmp_path) == {frozenset(settings.items())}
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    assert complete_settings(tmp_path) == set()


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
