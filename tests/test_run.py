"""Whole jobs on tiny data, as a user starts them."""

import json
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import (
    IMAGES,
    SCALARS,
    EventAccumulator,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.conftest import TINY
from tests.test_data import make_image_folder

SGAN = [*TINY, "iterations=5", "sample_interval=2", "model.log_interval=2"]


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def read_events(folder):
    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, IMAGES: 0})  # 0 for all
    events.Reload()
    return events


def steps(events, tag):
    return [event.step for event in events.Scalars(tag)]


def test_an_sgan_run_leaves_a_complete_folder(command_line, tmp_path):
    result = succeed(command_line(*SGAN, "hydra.run.dir=run", "seed=3"))
    folder = tmp_path / "run"
    kept = sorted(path.name for path in (folder / "checkpoints").glob("*.ckpt"))
    assert kept == ["iteration-4.ckpt", "iteration-5.ckpt"]
    assert (folder / "discriminator_supervised_loss.png").read_bytes().startswith(b"\x89PNG")

    config = OmegaConf.load(folder / "config.yaml")
    assert config.model.iterations == 5
    assert config.seed == 3
    assert config.model.labeled_learning_rate == 3e-4

    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["iterations"] == 5
    assert metrics["seed"] == 3
    assert metrics["test_images"] == 360
    assert metrics["test_accuracy"] == pytest.approx(1 - metrics["test_errors"] / 360)
    assert metrics["num_labeled"] == 100
    assert metrics["num_unlabeled"] == 1337
    assert len(metrics["class_accuracies"]) == 10
    assert metrics["versions"]["torch"] == torch.__version__.split("+")[0]
    speed = metrics["iterations"] / metrics["seconds"]
    assert metrics["iterations_per_second"] == pytest.approx(speed)

    log = (folder / "run.log").read_text()
    for iteration in (2, 4, 5):
        assert f"{iteration} [D loss supervised: " in log
    assert f"{metrics['test_accuracy']:.2%} ({metrics['test_errors']} errors" in result.stdout

    events = read_events(folder)
    for tag in (
        "labeled/class_loss",
        "labeled/accuracy",
        "unlabeled/real_loss",
        "unlabeled/fake_loss",
        "unlabeled/discriminator_loss",
        "generator/loss",
    ):
        assert steps(events, tag) == [2, 4, 5]
    assert steps(events, "test/accuracy") == [5]
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(metrics["test_accuracy"])
    assert [image.step for image in events.Images("generator/images")] == [2, 4, 5]
    assert [image.step for image in events.Images("test/confusion_matrix")] == [5]
    hparams = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"num_labeled" in hparams
    assert b"model.labeled_learning_rate" in hparams
    assert b"_target_" not in hparams
    assert b"model.iterations" not in hparams  # it is iterations already
    columns = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    infos = HParamsPluginData.FromString(columns).experiment.hparam_infos
    assert sorted(info.name for info in infos if info.differs) == [
        "model.generator_learning_rate",
        "model.labeled_learning_rate",
        "model.unlabeled_learning_rate",
        "num_labeled",
        "seed",
    ]


def test_a_baseline_run_leaves_its_curves(command_line, tmp_path):
    succeed(command_line(*TINY, "model=supervised", "model.epochs=3", "hydra.run.dir=run"))
    folder = tmp_path / "run"
    assert {path.name for path in folder.glob("*.png")} == {"loss.png", "accuracy.png"}
    kept = sorted(path.name for path in (folder / "checkpoints").glob("*.ckpt"))
    assert kept == ["iteration-12.ckpt", "iteration-8.ckpt"]
    assert json.loads((folder / "metrics.json").read_text())["iterations"] == 12
    assert steps(read_events(folder), "labeled/class_loss") == [4, 8, 12]


def test_equal_seeds_give_equal_weights_and_other_seeds_others(command_line, tmp_path):
    result = succeed(command_line("-m", *SGAN, "seed=0,1", "hydra.sweep.dir=first"))
    assert "Test accuracy" in result.stdout
    assert (tmp_path / "first" / "report.html").is_file()
    succeed(command_line(*SGAN, "seed=0", "hydra.run.dir=second"))
    paths = [
        tmp_path / "first" / "seed=0",
        tmp_path / "second",
        tmp_path / "first" / "seed=1",
    ]
    checkpoints = [
        torch.load(path / "checkpoints" / "iteration-5.ckpt", weights_only=True) for path in paths
    ]
    first, second, other = (checkpoint["state_dict"] for checkpoint in checkpoints)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(
        first["discriminator.layers.0.weight"], other["discriminator.layers.0.weight"]
    )
    metrics = [json.loads((path / "metrics.json").read_text()) for path in paths[:2]]
    assert metrics[0]["test_loss"] == metrics[1]["test_loss"]


def test_a_failing_job_of_a_sweep_leaves_the_others_and_the_report(command_line, tmp_path):
    result = command_line(
        "-m", *SGAN, "model.unlabeled_learning_rate=1e30,1e-3", "hydra.sweep.dir=sweep"
    )
    assert result.returncode == 1
    finished, failed = sorted((tmp_path / "sweep").glob("model.unlabeled_learning_rate=*"))
    assert "unlabeled/fake_loss is nan at iteration 1" in (failed / "run.log").read_text()
    assert not (failed / "metrics.json").exists()
    assert (finished / "metrics.json").exists()
    assert "1 of 2 runs have no result" in result.stdout
    report = (tmp_path / "sweep" / "report.md").read_text()
    unfinished = report.split("## Runs without a result")[1].split("## Runs")[0]
    assert failed.name in unfinished
    assert finished.name not in unfinished


def test_training_that_diverges_is_one_message(command_line, tmp_path):
    result = command_line(*SGAN, "model.unlabeled_learning_rate=1e30", "hydra.run.dir=run")
    assert result.returncode == 1
    assert "is nan at iteration 1; training stopped" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_damaged_data_file_is_one_message(command_line, tmp_path):
    make_image_folder(tmp_path / "images")
    (tmp_path / "images" / "unlabeled" / "0.jpg").write_bytes(b"no image")
    result = command_line("data=image_folder", "data.root=images", "hydra.run.dir=run")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("images/unlabeled/0.jpg is no readable image")
    assert "Traceback" not in result.stderr


def test_help_and_configuration_need_no_torch(command_line):
    result = succeed(command_line("--cfg", "job"))
    assert "num_labeled: 100" in result.stdout
    assert "tutorial_sgan" in succeed(command_line("--help")).stdout
    probe = "import sys, sgan_lab.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_the_baseline_learns_mnist_from_100_labels(command_line, tmp_path, mnist_root):
    """The tutorial's 70 %, on the real data set."""
    succeed(
        command_line(
            *["experiment=tutorial_baseline", "hydra.run.dir=run"], SGAN_LAB_DATA=str(mnist_root)
        )
    )
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0.65 < metrics["test_accuracy"] < 0.75
