import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sgan_lab.algorithms.feature_matching import FeatureMatching
from sgan_lab.algorithms.pi_model import PiModel
from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.training.failures import Failures
from sgan_lab.training.history import History
from tests.builders import CLASSES, SHAPE, make_data


class Intervals:
    """Sample intervals of a module: what is seen in each of them.

    Args:
        module: in training.
        length: iterations of an interval.
    """

    def __init__(self, module, length=100):
        self.module, self.length = module, length
        self.history = History(None)
        self.history.names = ["labeled/accuracy", "unlabeled/discriminator_loss"]
        self.failures = Failures(self.history, make_data())

    def add(self, accuracy, loss=1.0):
        """One more; returns what was found so far."""
        rows = torch.tensor([[accuracy, loss]]).expand(self.length, 2)
        history = self.history
        history.values = torch.cat([history.values.reshape(-1, 2), rows])
        history.interval_ends.append(len(history.values))
        trainer = SimpleNamespace(is_global_zero=True, global_step=len(history.values))
        self.failures.on_train_epoch_end(trainer, self.module)
        return self.failures.found


def pi_model():
    settings = {"learning_rate_decay": 0, "weight": 1, "ramp_up": 0}
    return PiModel(
        image_shape=SHAPE, class_names=CLASSES, iterations=9, learning_rate=1e-3, **settings
    )


def test_an_accuracy_back_at_chance_is_logged_once_and_after_a_resume_not_again(caplog):
    intervals = Intervals(pi_model())
    chance = intervals.failures.chance
    assert chance == pytest.approx(0.2)  # four of the 20 labels are of one class
    for accuracy in (0.1, 0.5, 0.1, 0.9, 0.4):  # none falls from far above to chance
        assert intervals.add(accuracy) == {}
    assert intervals.add(0.25) == {"accuracy": 600}
    assert intervals.add(0.25) == {"accuracy": 600}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("Iteration 600: the accuracy on labeled batches has fallen")

    resumed = Intervals(pi_model())
    resumed.failures.load_state_dict(intervals.failures.state_dict())
    resumed.add(0.1)
    assert len(caplog.records) == 1


def test_an_accuracy_that_is_never_far_from_that_of_the_largest_class_does_not_fall():
    intervals = Intervals(pi_model())
    intervals.failures.chance = 0.95
    assert [intervals.add(accuracy) for accuracy in (0.99, 0.95, 0.9)] == [{}] * 3


@pytest.mark.parametrize(
    ("missed", "iteration", "is_odd"),
    [(0, 170, False), (2, 170, False), (3, 170, True), (3, 70, False)],
)
def test_classes_that_are_predicted_at_other_frequencies_than_labeled(
    missed, iteration, is_odd, caplog, monkeypatch
):
    """A classifier, trained or hardly so, that takes images of class 3, of four, for class 1."""
    monkeypatch.setattr(PiModel, "global_step", iteration)
    module, data = pi_model(), make_data()
    classes = data.labeled.labels.clone()
    classes[(classes == 3).nonzero()[:missed]] = 1
    monkeypatch.setattr(module, "inferred", lambda *_: torch.eye(10)[classes])
    failures = Failures(History(None), replace(data, unlabeled_images=data.labeled.images))
    failures.compare_frequencies(module)
    assert failures.found == ({"class_frequencies": 170} if is_odd else {})
    assert ("labeled: 3 5.0% instead of 20.0%." in caplog.text) == is_odd


def test_what_the_best_accuracy_was_is_in_the_checkpoint():
    before, after = Intervals(pi_model()), Intervals(pi_model())
    before.add(0.9)
    after.failures.load_state_dict(before.failures.state_dict())
    assert after.add(0.1) == {"accuracy": 100}


@pytest.mark.parametrize("loss", [0.02, 0.001])
def test_a_discriminator_that_tells_everything_apart(loss):
    intervals = Intervals(FeatureMatching(SHAPE, CLASSES, 9, 3e-3, 0.5, 1.0, 18))
    for _ in range(4):
        assert intervals.add(0.9, loss) == {}  # images may be easy to tell at the start
    assert intervals.add(0.9, loss) == ({"discriminator": 500} if loss < 0.01 else {})


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_generated_images_that_are_alike_and_the_draws_of_training_as_they_were(scale):
    module = SGAN(SHAPE, CLASSES, 9, 3e-4, 1e-3, 1e-3)
    with torch.no_grad():
        module.generator.layers[-2].weight *= 30 * scale  # else the first images are gray, too
    intervals = Intervals(module, length=600)
    state = torch.get_rng_state()
    assert intervals.add(0.9) == ({} if scale else {"identical_images": 600})
    assert torch.equal(torch.get_rng_state(), state)
    assert module.generator.training
