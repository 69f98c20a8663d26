import logging

import pytest
import torch

from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.networks import made
from sgan_lab.networks.made import MADE, discretized_logistic_mixture
from tests.builders import make_data

VALUES = (torch.arange(256, dtype=torch.float64) - 127.5) / 127.5


def random_model(image_shape, **sizes):
    """A MADE in float64 whose weights are far from those of the start."""
    torch.manual_seed(0)
    model = MADE(image_shape, **sizes).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    return model


def test_a_pixels_probabilities_are_differences_of_the_logistic_function():
    torch.manual_seed(0)
    logits, means, log_scales = torch.randn(3, 1, 4, 1, dtype=torch.float64)
    shape = (256, 4, 1)
    log_probabilities = discretized_logistic_mixture(
        VALUES.unsqueeze(1), logits.expand(shape), means.expand(shape), log_scales.expand(shape)
    )
    for index in (0, 1, 100, 254, 255):
        expected = 0
        for component in range(4):
            weight = logits[0, component].exp() / logits.exp().sum()
            mean, scale = means[0, component], log_scales[0, component].exp()

            def below(x, mean=mean, scale=scale):
                return 1 / (1 + (-(x - mean) / scale).exp())

            low = 0 if index == 0 else below(VALUES[index] - 1 / 255)
            high = 1 if index == 255 else below(VALUES[index] + 1 / 255)
            expected += weight * (high - low)
        assert log_probabilities[index].exp().item() == pytest.approx(expected.item())
    assert log_probabilities.exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("mean", [-50.0, 50.0])
def test_improbable_pixels_have_finite_probabilities_and_gradients(mean):
    x = torch.linspace(-1, 1, 9).unsqueeze(0).requires_grad_()
    means = torch.full((1, 1, 9), mean)
    result = discretized_logistic_mixture(
        x, torch.zeros(1, 1, 9), means, torch.full_like(means, -9)
    )
    result.sum().backward()
    assert result.isfinite().all()
    assert x.grad.isfinite().all()


def test_the_probabilities_of_all_images_of_two_pixels_add_up_to_one():
    model = random_model((1, 1, 2), hidden_units=5, components=2)
    images = torch.cartesian_prod(VALUES, VALUES).view(-1, 1, 1, 2)
    with torch.no_grad():
        assert model(images).exp().sum().item() == pytest.approx(1)


def test_a_pixels_density_depends_on_all_pixels_before_it_and_no_other():
    model = random_model((2, 2, 3), hidden_units=50, components=2)
    x = torch.rand(12, dtype=torch.float64)

    def parameters(x):
        return model.layers(x.unsqueeze(0)).flatten(0, 2)

    dependence = torch.autograd.functional.jacobian(parameters, x).abs().sum(dim=0) > 0
    assert torch.equal(dependence, torch.ones(12, 12).tril(-1).bool())


def test_fitting_raises_the_density_of_the_unlabeled_images_and_logs_each_epoch(caplog):
    data, model = make_data(), MADE((1, 28, 28), hidden_units=20).requires_grad_(False)
    images = next(iter(SemiSupervisedBatches(data, 1))).unlabeled_images
    before = model(images).mean()
    with caplog.at_level(logging.INFO):
        made.fit(model, data, epochs=30)
    assert model(images).mean() > before + 100
    assert [record.args[:2] for record in caplog.records] == [(n, 30) for n in range(1, 31)]
    assert caplog.records[-1].args[2] == pytest.approx(-model(images).mean().item(), rel=0.05)
    assert not any(weight.requires_grad for weight in model.parameters())
