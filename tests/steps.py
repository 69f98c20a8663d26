"""Steps and resumed runs of algorithms, checked against plain computations."""

from itertools import islice
from math import exp

import torch

from tests.builders import CLASSES, SHAPE, make_data


def changed(before, after):
    def equal(a, b):
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
        return torch.equal(a, b)

    return {name for name in before if not equal(before[name], after[name])}


def make_step(model_class, monkeypatch, **settings):
    """A module in float64, half way through its ramp-up, and a batch for it."""
    training = {"iterations": 10, "sample_interval": 2, "log_interval": 1, "learning_rate": 1e-3}
    training |= {"learning_rate_decay": 0.2, "weight": 3.0, "ramp_up": 0.4}
    torch.manual_seed(0)
    module = model_class(image_shape=SHAPE, class_names=CLASSES, **training, **settings).double()
    monkeypatch.setattr(model_class, "global_step", 2)
    (batch,) = islice(module.batches(make_data()), 1)
    return module, batch._make(x.double() if x.is_floating_point() else x for x in batch)


def check_step(module, batch, plain_losses):
    """Losses and gradients of a step are those of a plain computation from equal draws.

    Args:
        module: the algorithm.
        batch: what the step is made on.
        plain_losses: function of the discriminator's weights; labeled log-probabilities and the
            unlabeled loss.

    Returns:
        What the step returned.
    """
    weights = list(module.discriminator.parameters())
    torch.set_default_dtype(torch.float64)  # of what it draws
    try:
        torch.manual_seed(5)
        values = module.training_step(batch, 0)
        torch.manual_seed(5)
        log_probabilities, unlabeled_loss = plain_losses(weights)
    finally:
        torch.set_default_dtype(torch.float32)
    class_loss = -log_probabilities[range(8), batch.labels].mean()
    loss = class_loss + 3 * exp(-5 / 4) * unlabeled_loss
    torch.testing.assert_close(values["labeled/class_loss"], class_loss.detach())
    torch.testing.assert_close(values["unlabeled/loss"], unlabeled_loss.detach())
    torch.testing.assert_close(values["loss"], loss)
    correct = log_probabilities.argmax(1) == batch.labels
    assert values["labeled/accuracy"] == correct.float().mean()
    gradients = [torch.autograd.grad(each, weights) for each in (values["loss"], loss)]
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    return values
