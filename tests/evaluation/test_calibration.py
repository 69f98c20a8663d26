import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from sgan_lab.data.load import load
from sgan_lab.errors import DataError
from sgan_lab.evaluation.calibration import fit_temperature
from sgan_lab.evaluation.checkpoint_files import find_checkpoint
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.training import callbacks
from tests.processes import run_main
from tests.steps import train_here

SPLIT = {"num_labeled": 50, "labeled_split": "first", "batch_size": 32, "num_validation": 100}
ARGUMENTS = ["model=supervised", "model.epochs=9", "data.num_labeled=50", "data.num_validation=100"]


@pytest.mark.parametrize("true", [0.4, 2.5])
def test_the_temperature_is_the_one_that_labels_were_drawn_by(true):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4000, 5, generator=generator)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=generator).flatten()
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(true, rel=0.05)
    losses = [cross_entropy(logits / (factor * found), labels) for factor in (0.99, 1, 1.01)]
    assert min(losses) == losses[1]


def test_without_an_error_there_is_nothing_to_scale_by():
    assert fit_temperature(torch.eye(3), torch.arange(3)) == 1
    assert fit_temperature(torch.eye(3), torch.tensor([1, 2, 0])) == pytest.approx(20, rel=0.01)


@pytest.mark.slow
def test_a_run_keeps_the_temperature_of_its_validation_images(tmp_path, monkeypatch, capsys):
    metrics = train_here(tmp_path / "run", *ARGUMENTS)
    checkpoint = find_checkpoint(tmp_path / "run")
    classifier = load_classifier(checkpoint)
    data = load("digits", **SPLIT)
    logits = classifier.logits(data.validation.images)
    assert classifier.temperature == fit_temperature(logits, data.validation.labels) != 1
    assert metrics["temperature"] == classifier.temperature
    resumed = train_here(tmp_path / "run", *ARGUMENTS)  # which has nothing left to train
    assert resumed["test_calibration_error"] == metrics["test_calibration_error"]

    expected = (classifier.logits(data.test.images) / classifier.temperature).softmax(1)
    pictures = data.test.images[:, 0].numpy()
    torch.testing.assert_close(torch.from_numpy(classifier.predict_proba(pictures)), expected)
    run_main(monkeypatch, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert written["temperature"] == classifier.temperature
    assert written["calibration_error"] == pytest.approx(metrics["test_calibration_error"])
    before = written["calibration_error_before"]
    assert before != written["calibration_error"]
    shown = f"calibration error before: {before:.4f}, temperature {classifier.temperature:.3f}\n"
    assert capsys.readouterr().out.count(shown) == 1

    monkeypatch.setattr(callbacks, "fit_temperature", lambda *_: 7.0)  # training is as it was
    train_here(tmp_path / "other", *ARGUMENTS)
    other = load_classifier(find_checkpoint(tmp_path / "other"))
    assert other.temperature == 7
    weights, same = classifier.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)

    content = torch.load(checkpoint, weights_only=True)
    for value in (0, -1.0, float("nan"), float("inf"), "one", [1]):
        torch.save(content | {"temperature": value}, tmp_path / "x.ckpt")
        with pytest.raises(DataError, match="no readable checkpoint"):
            load_classifier(tmp_path / "x.ckpt")
    del content["temperature"]
    torch.save(content, tmp_path / "x.ckpt")
    assert load_classifier(tmp_path / "x.ckpt").temperature == 1
