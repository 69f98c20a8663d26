import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sgan_lab.errors import ConfigError
from sgan_lab.networks.registry import make_discriminator

# Laine and Aila 2017, table 5: filters, kernel, padding; "pool" halves the image and drops out.
TABLE = [
    *[(128, 3, 1)] * 3,
    "pool",
    *[(256, 3, 1)] * 3,
    "pool",
    *[(512, 3, 0), (256, 1, 0), (128, 1, 0)],
]


def plain(weights, averages, images):
    """The logits in inference, by torch's functions."""
    x, averages = images, iter(averages)
    for row in TABLE:
        if row == "pool":
            x = F.max_pool2d(x, 2)
            continue
        filters, kernel, padding = row
        weight, gain, shift = (next(weights) for _ in range(3))
        mean, variance, _ = (next(averages) for _ in range(3))
        assert weight.shape == (filters, x.shape[1], kernel, kernel)
        x = F.conv2d(x, weight, padding=padding)
        x = (x - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-5).sqrt()
        x = F.leaky_relu(x * gain.view(-1, 1, 1) + shift.view(-1, 1, 1), 0.1)
    x = x.mean(dim=(2, 3))
    return x, x @ next(weights).T + next(weights)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 12, 15)])
def test_it_is_the_papers_table(shape):
    torch.manual_seed(0)
    network = make_discriminator("conv13", shape, 7).double()
    images = torch.rand(3, *shape, dtype=torch.float64) * 2 - 1
    network(images)  # moves the averages of batch normalization
    for weight in network.parameters():
        weight.data += 0.01 * torch.randn_like(weight)
    network.eval()
    with torch.no_grad():
        features, logits = plain(iter(network.parameters()), network.buffers(), images)
        torch.testing.assert_close(network.features(images), features)
        torch.testing.assert_close(network(images), logits)


def test_it_has_the_papers_number_of_weights():
    network = make_discriminator("conv13", (3, 32, 32), 10)
    channels, expected = 3, 0
    for filters, kernel, _ in (row for row in TABLE if row != "pool"):
        expected += channels * filters * kernel**2 + 2 * filters  # and gain and shift
        channels = filters
    expected += 128 * 10 + 10
    assert sum(weight.numel() for weight in network.parameters()) == expected
    assert round(expected / 1e6, 1) == 3.1


def test_noise_and_dropout_are_the_papers_and_of_training_only():
    network = make_discriminator("conv13", (3, 12, 12), 5)
    assert network.layers[0].std == 0.15
    assert [layer.p for layer in network.layers if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    images = torch.rand(2, 3, 12, 12)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize(("name", "least"), [("conv13", 12), ("conv9", 9)])
def test_images_that_are_too_small_are_refused(name, least):
    shape = (1, least, least)
    assert make_discriminator(name, shape, 3).eval()(torch.zeros(2, *shape)).shape == (2, 3)
    with pytest.raises(ConfigError, match=rf"too small for {name}: {least} pixels at least"):
        make_discriminator(name, (1, 20, least - 1), 3)
