"""The Python interface: what a notebook imports."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from PIL import Image

import sgan_lab
from sgan_lab.errors import ConfigError, DataError, UserError
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.evaluation.checksums import checksum_file
from sgan_lab.evaluation.evaluate import run_data
from sgan_lab.jobs import owner
from tests.processes import RUN, TINY, results

BASELINE = [*TINY, "model=supervised", "model.epochs=1"]


def settings():
    """What a run changes in its process."""
    return {
        "signals": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "handlers": list(logging.getLogger().handlers),
        "levels": [logging.getLogger(name).level for name in ("", "pytorch_lightning")],
        "warnings": list(warnings.filters),
        "threads": (torch.get_num_threads(), threading.excepthook),
        "random": (torch.get_rng_state().tolist(), str(np.random.get_state())),  # noqa: NPY002
        "deterministic": torch.backends.cudnn.deterministic,
        "hydra": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "owned": list(owner.held),
        "folder": os.getcwd(),  # noqa: PTH109
    }


def test_the_package_offers_its_interface_and_imports_it_late():
    assert dir(sgan_lab) == sorted(sgan_lab.__all__)
    assert all(hasattr(sgan_lab, name) for name in sgan_lab.__all__)
    with pytest.raises(AttributeError, match="'sgan_lab' has no attribute 'trian'"):
        _ = sgan_lab.trian
    probe = "import sys, sgan_lab\ntry: sgan_lab.train('iterations=0')\n"
    probe += "except Exception as error: assert 'iterations=0: must be' in str(error)\n"
    probe += "sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'IPython')))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


@pytest.mark.slow
def test_a_run_is_the_command_lines_and_leaves_the_process_as_it_was(whole_run, tmp_path, capsys):
    before = settings()
    with warnings.catch_warnings():
        run = sgan_lab.train(*RUN, "iterations=40", folder=tmp_path / "run")
    assert settings() == before
    assert results(run.folder) == results(whole_run)
    shown = capsys.readouterr().out
    assert "6: class loss " in shown
    assert str(run.metrics["iterations"]) in shown
    assert (run.folder / "run.log").read_text().count("class loss") == 7
    # It can be resumed, as one of the command line.
    again = sgan_lab.train(f"resume={run.folder}", "iterations=42")
    assert (again.folder, again.metrics["iterations"]) == (run.folder, 42)
    assert settings() == before


def test_a_finished_run_is_read(whole_run):
    run = sgan_lab.load(str(whole_run))
    assert run.state == "finished"
    assert run.metrics == json.loads((whole_run / "metrics.json").read_text())
    assert (run.config.seed, run.config.model.iterations) == (3, 40)
    losses = run.history["labeled/class_loss"].dropna()
    assert list(losses.index) == [*range(3, 40, 3), 40]
    assert run.history.index.name == "iteration"
    assert run.generated_images.size == (242, 242)
    assert {"discriminator_supervised_loss", "generated_images"} <= set(run.figures)
    assert run.figures["generated_images"] == whole_run / "generated_images.png"


def test_a_classifier_predicts_from_arrays_pictures_and_files(baseline_run, tmp_path):
    run = sgan_lab.load(baseline_run)
    assert run.generated_images is None
    classifier = run.classifier
    images, labels = run_data(baseline_run, classifier).test
    expected = classifier.probabilities(classifier.logits(images))
    arrays = images[:, 0].numpy()
    names, probabilities = classifier.predict(arrays), classifier.predict_proba(arrays)
    assert names.tolist() == [classifier.class_names[each] for each in expected.argmax(dim=1)]
    assert probabilities.tolist() == expected.tolist()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    accuracy = np.mean(names == np.array(classifier.class_names)[labels])
    assert accuracy == pytest.approx(run.metrics["test_accuracy"])
    picture = Image.fromarray(arrays[0])
    picture.save(tmp_path / "0.png")
    for one in (picture, tmp_path / "0.png", str(tmp_path / "0.png"), images[:1], [picture]):
        np.testing.assert_allclose(classifier.predict_proba(one), probabilities[:1], rtol=1e-5)


@pytest.mark.slow
def test_an_interrupt_saves_a_checkpoint_to_go_on_from(tmp_path, capsys):
    """As Ctrl-C, or a notebook's interrupt; the process goes on."""
    before, folder = settings(), tmp_path / "run"
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        while not checkpoints(folder / "checkpoints"):
            ended.wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    ended = threading.Event()
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        sgan_lab.train(*TINY, "iterations=100000", "sample_interval=5", folder=folder)
    signal.signal(signal.SIGINT, handler)
    assert settings() == before
    assert f'sgan_lab.train("resume={folder}")' in capsys.readouterr().err
    run = sgan_lab.load(folder)
    assert run.state == "interrupted"
    assert run.classifier.image_shape == (1, 28, 28)
    with pytest.raises(DataError, match="run has no metrics: the run is interrupted"):
        _ = run.metrics


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seedd=1"], "seedd=1: is no key of the configuration. Did you mean seed?"),
        (["seed=x"], "seed=x: must be an integer 0 to"),
        (["model=sgam"], "model=sgam: must be one of .* Did you mean sgan"),
        (["seed=1,2"], "Ambiguous value for argument 'seed=1,2'"),
        (["experiment=quickstart"], "hydra.mode=MULTIRUN: is a sweep"),
        (["--multirun"], "--multirun: must be key=value"),
        (["seed=1", "x"], "Error parsing override 'x'"),
        (["resume=absent"], "resume=absent: must be the folder of a run"),
    ],
)
def test_a_mistake_is_the_command_lines_message(tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    before = settings()
    with pytest.raises(UserError, match=message):
        sgan_lab.train(*overrides)
    assert settings() == before
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_a_run_is_refused_and_own_files_are_found(tmp_path):
    (tmp_path / "my conf" / "experiment").mkdir(parents=True)
    (tmp_path / "my conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nseed: 5\ndata:\n  batch_size: -1\n"
    )
    with pytest.raises(ConfigError, match="batch_size=-1: must be"):
        sgan_lab.train("experiment=mine", config_dir=tmp_path / "my conf")
    with pytest.raises(UserError, match="config_dir=absent: is no folder"):
        sgan_lab.train(config_dir="absent")
    folder = tmp_path / "it's ${a} run"
    folder.mkdir()
    (folder / "x").touch()
    with pytest.raises(ConfigError, match="already holds a run"):
        sgan_lab.train(*BASELINE, folder=folder)
    assert [path.name for path in folder.iterdir()] == ["x"]


@pytest.mark.slow
def test_training_that_fails_raises_its_message(tmp_path):
    before = settings()
    rate = "model.unlabeled_learning_rate=1e30"
    with pytest.raises(UserError, match="is nan at iteration 1; training stopped"):
        sgan_lab.train(*TINY, "iterations=5", rate, folder=tmp_path / "run")
    assert settings() == before
    run = sgan_lab.load(tmp_path / "run")
    assert run.state == "failed"
    assert run.history.empty
    with pytest.raises(DataError, match="run holds no intact checkpoints"):
        _ = run.classifier


def test_what_is_no_run_or_damaged_is_named(baseline_run, tmp_path):
    with pytest.raises(DataError, match="absent holds no run: there is no config"):
        sgan_lab.load(tmp_path / "absent")
    folder = tmp_path / "run"
    shutil.copytree(baseline_run, folder)
    for path in checkpoints(folder / "checkpoints"):
        checksum_file(path).write_text("0")
    (folder / "metrics.json").write_text("[]")
    (folder / "generated_images.png").write_bytes(b"no picture")
    run = sgan_lab.load(folder)
    with pytest.raises(DataError, match="run holds no intact checkpoints"):
        _ = run.classifier
    with pytest.raises(DataError, match="json cannot be read"):
        _ = run.metrics
    with pytest.raises(DataError, match="png cannot be read"):
        _ = run.generated_images
    (folder / "config.yaml").write_text("- 1")
    with pytest.raises(DataError, match="yaml is no readable configuration"):
        sgan_lab.load(folder)


@pytest.mark.slow
def test_a_program_of_hydra_may_train(tmp_path, monkeypatch):
    """Its own Hydra is put back."""
    import hydra

    monkeypatch.chdir(tmp_path)
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        run = sgan_lab.train(*BASELINE)
        assert GlobalHydra.instance().hydra is outer
    assert run.folder.parent.parent == tmp_path / "outputs"
    assert run.folder.is_absolute()
