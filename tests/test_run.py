"""Whole jobs on tiny data, as a user starts them."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sgan_lab.jobs import worker
from sgan_lab.run import MAX_NAME, folder_name
from tests.builders import make_image_folder
from tests.processes import TINY, WHOLE_OUTPUT, read_events, steps, succeed


def test_an_sgan_run_leaves_a_complete_folder(whole_run):
    kept = sorted(path.name for path in (whole_run / "checkpoints").glob("*.ckpt"))
    assert kept == ["iteration-36.ckpt", "iteration-40.ckpt"]
    assert {path.name for path in whole_run.glob("*.png")} == {
        *("discriminator_supervised_loss.png", "confusion_matrix.png"),
        *("generated_images.png", "generated_images_over_time.png"),
    }

    config = OmegaConf.load(whole_run / "config.yaml")
    assert config.model.iterations == 40
    assert config.seed == 3
    assert config.model.labeled_learning_rate == 3e-4

    metrics = json.loads((whole_run / "metrics.json").read_text())
    assert metrics["iterations"] == 40
    assert metrics["seed"] == 3
    assert metrics["test_images"] == 360
    assert metrics["test_accuracy"] == pytest.approx(1 - metrics["test_errors"] / 360)
    assert metrics["num_labeled"] == 50
    assert metrics["num_unlabeled"] == 1387
    assert len(metrics["test_class_accuracy"]) == 10
    assert metrics["versions"]["torch"] == torch.__version__.split("+")[0]
    speed = metrics["iterations"] / metrics["seconds"]
    assert metrics["iterations_per_second"] == pytest.approx(speed)

    samples = [6, 12, 18, 24, 30, 36, 40]
    log = (whole_run / "run.log").read_text()
    for iteration in samples:
        assert f"{iteration}: class loss " in log
    output = (whole_run / WHOLE_OUTPUT).read_text()
    assert "| discriminator.layers.0 | SameConv2d " in log
    assert "discriminator.layers.0" not in output
    assert f"test accuracy          │ {metrics['test_accuracy']:.2%} " in output

    events = read_events(whole_run)
    for tag in (
        "labeled/class_loss",
        "labeled/accuracy",
        "unlabeled/real_loss",
        "unlabeled/fake_loss",
        "unlabeled/discriminator_loss",
        "generator/loss",
    ):
        assert steps(events, tag) == [*range(3, 40, 3), 40]
    assert steps(events, "test/accuracy") == [40]
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(metrics["test_accuracy"])
    assert [image.step for image in events.Images("generator/images")] == samples
    assert [image.step for image in events.Images("test/confusion_matrix")] == [40]


def test_a_baseline_run_leaves_its_curves(baseline_run):
    assert {path.name for path in baseline_run.glob("*.png")} == {
        *("loss.png", "accuracy.png", "confusion_matrix.png")
    }
    kept = sorted(path.name for path in (baseline_run / "checkpoints").glob("*.ckpt"))
    assert kept == ["iteration-16.ckpt", "iteration-20.ckpt"]
    assert json.loads((baseline_run / "metrics.json").read_text())["iterations"] == 20
    assert steps(read_events(baseline_run), "labeled/class_loss") == [4, 8, 12, 16, 20]


def test_training_that_diverges_is_one_message(command_line, tmp_path):
    rate = "model.unlabeled_learning_rate=1e30"
    result = command_line(*TINY, "iterations=5", rate, "hydra.run.dir=run")
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
    probe = "import sys, sgan_lab.run\nsys.argv[1:] = ['iterations=0']\ntry: sgan_lab.run.main()\n"
    probe += "except SystemExit as exit_: assert 'iterations=0: must be' in str(exit_)\n"
    probe += "sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'rich.progress')))"
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


def test_a_logger_may_write_into_the_run_folder_and_a_profile_is_shown(command_line, tmp_path):
    csv = "{_target_: pytorch_lightning.loggers.CSVLogger, save_dir: run/csv}"
    arguments = [*TINY, "model=supervised", "model.epochs=1", f"+logger.csv={csv}"]
    succeed(command_line(*arguments, "+trainer.profiler=simple", "hydra.run.dir=run"))
    (curves,) = (tmp_path / "run" / "csv").rglob("metrics.csv")
    assert "test/accuracy" in curves.read_text()
    assert "Profiler Report" in (tmp_path / "run" / "run.log").read_text()


overrides = st.text(st.sampled_from("a/%-=,F25é"), min_size=0, max_size=300)


@given(overrides, overrides)
def test_different_overrides_have_different_folders(one, other):
    assert (folder_name(one) == folder_name(other)) == (one == other)
    assert "/" not in folder_name(one)
    assert len(folder_name(one).encode()) <= MAX_NAME + 17


@pytest.mark.parametrize("swept", ["data.root=a/b,a-b", "data.root=a%2Fb,a/b"])
def test_jobs_of_a_sweep_never_share_a_folder(command_line, tmp_path, swept):
    arguments = [*TINY[1:], "model=supervised", "model.epochs=1", "data=mnist", "hydra.sweep.dir=s"]
    command_line("-m", *arguments, swept)  # which finds no data, and says so in each folder
    assert len(list((tmp_path / "s").glob("*/status.json"))) == 2


def test_a_sweep_with_two_equal_jobs_is_refused(program, tmp_path):
    result = program("-m", *TINY, "seed=1,1", "hydra.sweep.dir=s")
    assert result.returncode == 1
    assert result.stderr == "hydra.sweep.subdir=seed=1: would be the folder of 2 jobs\n"
    assert not (tmp_path / "s").exists()


def test_an_error_of_the_program_itself_in_a_run_is_not_one_of_the_configuration(
    program, monkeypatch
):
    def fail(_):
        raise RuntimeError("boom")

    monkeypatch.setattr(worker, "run", fail)
    with pytest.raises(RuntimeError, match="boom"):
        program(*TINY, "hydra.run.dir=run")
