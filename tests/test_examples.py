"""The examples, copied to a folder outside the checkout, as a user runs them; and the docs."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from sgan_lab import cli
from sgan_lab.evaluation.classifier import load_classifier
from tests.processes import TINY, succeed

ROOT = Path(__file__).parent.parent
SHORT = [*TINY, "iterations=4", "sample_interval=2"]
METHOD = [*SHORT, "model=entropy_minimization", "seed=0,1"]


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Copies an example into the folder in which the command line runs, and goes there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda name: shutil.copytree(ROOT / "examples" / name, tmp_path, dirs_exist_ok=True)


def sgan_lab(monkeypatch, *arguments):
    """A command in this process, as the script `sgan-lab` runs it."""
    monkeypatch.setattr(sys, "argv", ["sgan-lab", *map(str, arguments)])
    monkeypatch.setattr(cli, "handle_signals", lambda _: None)
    cli.main()


def losses(sweep):
    files = sorted(sweep.glob("*/metrics.json"))
    return [json.loads(file.read_text())["test_loss"] for file in files]


def test_an_own_method_is_swept_resumed_evaluated_and_exported(
    example, command_line, tmp_path, monkeypatch, capsys
):
    example("own_method")
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    succeed(command_line("-m", *METHOD, *joblib, "hydra.sweep.dir=sweep"))
    whole = losses(tmp_path / "sweep")
    assert len(set(whole)) == 2
    run = tmp_path / "sweep" / "seed=1"
    for path in (run / "metrics.json", *run.glob("checkpoints/iteration-4.*")):
        path.unlink()
    refused = command_line("sweep.resume=sweep")
    assert refused.returncode == 1
    assert "Not taken over from the earlier sweep: --config-dir=" in refused.stderr
    again = ["--config-dir=conf", "sweep.resume=sweep", "hydra/launcher=submitit_local"]
    succeed(command_line(*again))
    assert losses(tmp_path / "sweep") == whole
    assert "entropy_minimization" in (tmp_path / "sweep" / "report.md").read_text()

    (checkpoint,) = run.glob("checkpoints/iteration-4.ckpt")
    sgan_lab(monkeypatch, "evaluate", checkpoint)
    sgan_lab(monkeypatch, "export", checkpoint, "--format", "safetensors")
    shown = capsys.readouterr().out
    assert "Written and checked" in shown
    evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert evaluation["loss"] == pytest.approx(whole[1])


def test_own_data_have_splits_and_are_tested_once_they_are_trusted(
    example, command_line, tmp_path, monkeypatch
):
    example("own_data")
    arguments = ["data=two_moons", "model=supervised", "model.epochs=1", "data.num_validation=20"]
    succeed(command_line("num_threads=1", "trainer=cpu", *arguments, "hydra.run.dir=run"))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    numbers = [metrics[key] for key in ("num_labeled", "num_unlabeled", "test_images")]
    assert numbers == [10, 970, 1000]
    (checkpoint,) = (tmp_path / "run").glob("checkpoints/iteration-1.ckpt")
    assert load_classifier(checkpoint).class_names == ["upper", "lower"]
    with pytest.raises(SystemExit, match=r"data.source._target_=two_moons.load is not of sgan_lab"):
        sgan_lab(monkeypatch, "evaluate", checkpoint)
    assert "two_moons" not in sys.modules
    sgan_lab(monkeypatch, "evaluate", "--trust", "two_moons", checkpoint)
    evaluation = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert evaluation["loss"] == pytest.approx(metrics["test_loss"])
    del sys.modules["two_moons"]


def test_the_script_finds_modules_and_configurations_beside_the_user(example, monkeypatch):
    """It has no current folder on its path, as `python -m` has."""
    folder = example("own_method")
    monkeypatch.setattr("sgan_lab.run.handle_signals", lambda _: None)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(folder))])
    monkeypatch.delitem(sys.modules, "entropy_minimization", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit, match=r"model.wieght=1: is no key of EntropyMinimization"):
        sgan_lab(monkeypatch, "train", "model=entropy_minimization", "+model.wieght=1")
    assert sys.path[-1] == str(folder)


def test_the_programs_of_the_documentation_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "extending.md").read_text()
    (program,) = re.findall(r"```python\n(import pytorch_lightning as pl\n.*?)```", text, re.DOTALL)
    assert len(list(filter(None, program.splitlines()))) == 10
    exec(program.replace("1000,", "4,"), {})
    assert 0 < float(capsys.readouterr().out.splitlines()[-1]) < 1
