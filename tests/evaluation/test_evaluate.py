import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from sgan_lab.data.containers import LabeledImages, scale
from sgan_lab.errors import UserError
from sgan_lab.evaluation import plots
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.evaluation.evaluate import Evaluation, evaluate, print_evaluation
from tests.builders import digits, make_image_folder
from tests.processes import run_main


class Brightness(nn.Module):
    """Class logits from one pixel, with dropout that would spoil them."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.9)

    def forward(self, images):
        bright = self.dropout(images[:, 0, 0, 0])
        return torch.stack([-bright, bright, torch.full_like(bright, -9.0)], dim=1)


def test_an_evaluation_holds_what_the_classifier_made_of_the_images():
    pixels = torch.tensor([0, 0, 255, 255, 255], dtype=torch.uint8).view(5, 1, 1, 1)
    labels = torch.tensor([0, 1, 1, 1, 0])
    classifier = Brightness()
    result = evaluate(classifier, LabeledImages(pixels, labels), ["dark", "light", "none"])
    assert torch.equal(result.logits, classifier.eval()(scale(pixels)))
    assert result.predicted.tolist() == [0, 0, 1, 1, 1]
    assert result.confusion.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    expected = result.logits.exp() / result.logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(result.probabilities, expected)


def test_evaluation_leaves_the_mode_as_it_was():
    classifier = Brightness().train()
    evaluate(classifier, LabeledImages(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])), "abc")
    assert classifier.training
    evaluate(classifier.eval(), LabeledImages(torch.zeros(1, 1, 1, 1), torch.tensor([0])), "abc")
    assert not classifier.training


def test_worst_are_the_most_confident_errors():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.99, 0.01], [0.3, 0.7]])
    labels = torch.tensor([1, 0, 0, 0, 1])
    evaluation = Evaluation(probabilities.log(), labels, "ab")
    assert evaluation.worst(2).tolist() == [0, 1]
    assert evaluation.worst(9).tolist() == [0, 1, 2]


def fail_main(monkeypatch, *arguments):
    """The message of a command that must fail."""
    with pytest.raises(UserError) as caught:
        run_main(monkeypatch, *arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def run_copy(baseline_run, tmp_path):
    """A run folder to be spoiled, and its checkpoint."""
    shutil.copytree(baseline_run, tmp_path / "run")
    return tmp_path / "run", checkpoints(tmp_path / "run" / "checkpoints")[0]


def test_a_checkpoint_is_evaluated_on_the_test_set_of_its_run(run_copy):
    run, checkpoint = run_copy
    command = [sys.executable, "-m", "sgan_lab", "evaluate", str(checkpoint)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    metrics = json.loads((run / "metrics.json").read_text())
    written = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert written["errors"] == metrics["test_errors"] > 0
    assert written["accuracy"] == pytest.approx(metrics["test_accuracy"])
    assert written["loss"] == pytest.approx(metrics["test_loss"], rel=1e-4)
    assert written["class_accuracy"] == pytest.approx(metrics["test_class_accuracy"])
    assert np.sum(written["confusion"]) == written["images"] == 360
    assert f"errors: {written['errors']}\n" in result.stdout
    assert f"calibration error: {written['calibration_error']:.4f}\n" in result.stdout
    for row in written["confusion"]:
        assert " ".join(map(str, row)) in " ".join(result.stdout.split())
    assert written["calibration_error_before"] == written["calibration_error"]
    assert written["temperature"] == 1
    for name in ("confusion_matrix", "reliability", "worst"):
        assert Image.open(run / "evaluation" / f"{name}.png").size > (100, 100)


def test_a_second_evaluation_replaces_the_first_and_nothing_else(run_copy, tmp_path, monkeypatch):
    run, _ = run_copy
    output, other = run / "evaluation", tmp_path / "other.txt"
    run_main(monkeypatch, run)
    written = {path: path.read_bytes() for path in output.iterdir()}
    assert len(written) == 4
    (output / "notes.txt").write_text("mine")
    other.write_text("another's")
    for path in written:
        path.unlink()
        path.symlink_to(other)
    run_main(monkeypatch, run)
    assert {path: path.read_bytes() for path in written} == written
    assert {path.name for path in output.iterdir()} - {path.name for path in written} == {
        "notes.txt"
    }
    assert other.read_text() == "another's"
    message = fail_main(monkeypatch, run, "--output", run)
    assert message == f"{run} holds no evaluation; name another folder with --output."


def test_the_picture_shows_the_most_confident_errors(checkpoint, tmp_path, monkeypatch):
    draw, drawn = plots.worst_images, []

    def record(*arguments):
        drawn.extend(arguments)
        return draw(*arguments)

    monkeypatch.setattr(plots, "worst_images", record)
    run_main(monkeypatch, checkpoint, "--output", tmp_path / "evaluation")
    images, captions, errors = drawn

    test = digits(100, "first", 32).test
    probabilities = load_classifier(checkpoint).network(scale(test.images)).softmax(1)
    wrong = [i for i in range(360) if probabilities[i].argmax() != test.labels[i]]
    wrong.sort(key=lambda i: -probabilities[i].max().item())
    assert errors == len(wrong)
    assert len(images) == min(25, len(wrong))
    assert torch.equal(images, test.images[wrong[:25]])
    worst = wrong[0]
    predicted, confidence = probabilities[worst].argmax(), probabilities[worst].max().item()
    assert captions[0] == f"{test.labels[worst]} → {predicted}\n{confidence:.1%}"


def test_class_folders_of_ones_own(checkpoint, tmp_path, monkeypatch):
    test = digits(100, "first", 32).test
    for index in range(40):
        label = test.labels[index].item()
        if label in (3, 7):
            folder = tmp_path / "images" / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(test.images[index, 0].numpy()).save(folder / f"{index}.png")
    run_main(monkeypatch, checkpoint, "--data", tmp_path / "images", "--output", tmp_path / "new")
    written = json.loads((tmp_path / "new" / "evaluation.json").read_text())

    chosen = [index for index in range(40) if test.labels[index] in (3, 7)]
    logits = load_classifier(checkpoint).network(scale(test.images[chosen]))
    correct = logits.argmax(1) == test.labels[chosen]
    assert written["images"] == len(chosen)
    assert written["errors"] == (~correct).sum()
    threes = correct[test.labels[chosen] == 3]
    assert written["class_accuracy"]["3"] == pytest.approx(threes.float().mean().item())
    assert written["class_accuracy"]["0"] is None

    (tmp_path / "images" / "cat").mkdir()
    message = fail_main(
        monkeypatch, checkpoint, "--data", tmp_path / "images", "--output", tmp_path / "other"
    )
    assert "unknown classes: cat; known are 0, 1, 2" in message
    empty = fail_main(
        monkeypatch, checkpoint, "--data", tmp_path / "absent", "--output", tmp_path / "other"
    )
    assert "has no images in class folders" in empty
    assert not (tmp_path / "other").exists()


def test_class_names_cannot_command_the_terminal(capsys):
    names = ["[red]a", "\x1b[31mb"]
    print_evaluation(Evaluation(torch.eye(2), torch.tensor([0, 1]), names))
    shown = capsys.readouterr().out
    assert "[red]a" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("nested", [False, True])
def test_a_configuration_cannot_have_anything_called(run_copy, nested, monkeypatch):
    run, checkpoint = run_copy
    trace = run / "trace"
    hostile = {"_target_": "os.system", "command": f"touch {trace}"}
    own = {"_target_": "sgan_lab.data.own.own_data", "source": hostile, "num_labeled": 10}
    data = own if nested else hostile
    OmegaConf.save({"data": data}, run / "config.yaml")
    message = fail_main(monkeypatch, checkpoint)
    expected = "os.system is not of sgan_lab" if nested else "os.system is none of"
    assert expected in message
    assert not trace.exists()


def test_a_run_that_does_not_fit_the_checkpoint_is_named(run_copy, monkeypatch):
    run, checkpoint = run_copy
    make_image_folder(run / "images")
    settings = {"root": str(run / "images"), "image_size": [28, 28], "channels": 1}
    settings |= {"num_labeled": None, "labeled_split": "balanced", "batch_size": 2}
    OmegaConf.save(
        {"data": {"_target_": "sgan_lab.data.image_folder.image_folder", **settings}},
        run / "config.yaml",
    )
    assert "other classes or images" in fail_main(monkeypatch, checkpoint)
    (run / "config.yaml").unlink()
    assert "config.yaml is no readable configuration" in fail_main(monkeypatch, checkpoint)
    assert "no readable checkpoint" in fail_main(monkeypatch, run / "absent" / "x.ckpt")
