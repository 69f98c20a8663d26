from itertools import pairwise

import pytest
import torch
from torch import nn

from sgan_lab.networks.mlp import MLPDiscriminator, MLPGenerator

SHAPES = [(1, 28, 28), (3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_networks_follow_the_image_shape(shape):
    images = MLPGenerator(shape)(torch.rand(4, 100))
    assert images.shape == (4, *shape)
    assert images.abs().max() <= 1
    assert images.min() < 0
    discriminator = MLPDiscriminator(shape, num_classes=7)
    assert discriminator.features(images).shape == (4, 250)
    assert discriminator(images).shape == (4, 7)


def test_networks_train_what_the_authors_program_trains():
    # v and biases everywhere; g of the last layers; of batch normalization the biases.
    def trained(network):
        return sum(w.numel() for w in network.parameters() if w.requires_grad)

    sizes = [784, 1000, 500, 250, 250, 250, 10]
    discriminator = sum(i * o + o for i, o in pairwise(sizes)) + 10
    generator = (100 * 500 + 500) + (500 * 500 + 500) + (500 * 784 + 784) + 784
    assert trained(MLPDiscriminator((1, 28, 28), 10)) == discriminator
    assert trained(MLPGenerator((1, 28, 28))) == generator
    assert trained(MLPGenerator((1, 28, 28), train_gain=True)) == generator + 500 + 500


def test_initialization_gives_every_unit_mean_0_and_variance_1():
    torch.manual_seed(0)
    network = MLPDiscriminator((1, 6, 6), 5).double()
    images = torch.rand(300, 1, 6, 6, dtype=torch.float64) * 2 - 1
    torch.manual_seed(1)
    network.initialize(images)
    outputs = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        layer.register_forward_hook(lambda _, __, output: outputs.append(output.detach()))
    torch.manual_seed(1)  # the same noise
    network(images)
    assert [output.shape[1] for output in outputs] == [1000, 500, 250, 250, 250, 5]
    for output in outputs:
        mean, variance = output.mean(dim=0), output.var(dim=0, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
        torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-9, atol=0)


def test_noise_is_added_while_training_only():
    network = MLPDiscriminator((1, 4, 4), 3)
    images = torch.rand(2, 1, 4, 4) * 2 - 1
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
    stds = [module.std for module in network.modules() if hasattr(module, "std")]
    assert stds == [0.3, 0.5, 0.5, 0.5, 0.5, 0.5]
    network.train()
    torch.manual_seed(0)
    noise = network.hidden[0](torch.zeros(100_000))
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)


def test_the_generator_normalizes_by_its_batch_in_inference_too():
    torch.manual_seed(0)
    generator = MLPGenerator((1, 4, 4))
    noise = torch.rand(6, 100)
    images = generator(noise)
    assert torch.equal(generator.eval()(noise), images)
    assert not torch.allclose(generator(noise[:3]), images[:3])
    # Softplus follows the norm: its inverse has mean 0 and variance 1 in each unit.
    before = generator.layers[:3](noise).double().expm1().log()
    torch.testing.assert_close(before.mean(dim=0), torch.zeros(500).double(), atol=1e-4, rtol=0)
    variance = before.var(dim=0, correction=0)
    torch.testing.assert_close(variance, torch.ones(500).double(), atol=1e-2, rtol=0)
