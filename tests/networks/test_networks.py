import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sgan_lab.networks.layers import Dropout, SameConv2d, SameConvTranspose2d
from sgan_lab.networks.pooling import PoolingDiscriminator, WidePoolingDiscriminator
from sgan_lab.networks.tutorial import Discriminator, Generator

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 15, 22), (3, 4, 4)]


def keras_same_convolution(image, weight, bias):
    """'same', stride 2, from TensorFlow's definition, one output pixel at a time."""
    size = image.shape[-1]
    out_size = math.ceil(size / 2)
    before = max((out_size - 1) * 2 + 3 - size, 0) // 2
    output = bias.view(-1, 1, 1).repeat(1, out_size, out_size)
    for row in range(out_size):
        for column in range(out_size):
            for i in range(3):
                for j in range(3):
                    y, x = row * 2 - before + i, column * 2 - before + j
                    if 0 <= y < size and 0 <= x < size:
                        output[:, row, column] += weight[:, :, i, j] @ image[:, y, x]
    return output


def keras_transposed_convolution(image, weight, bias):
    """Stride 2: every input pixel adds its weighted 3x3 patch; the last row and column go."""
    size = image.shape[-1]
    output = torch.zeros(weight.shape[1], 2 * size + 1, 2 * size + 1, dtype=image.dtype)
    for row in range(size):
        for column in range(size):
            patch = torch.einsum("i,iojk->ojk", image[:, row, column], weight)
            output[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += patch
    return output[:, :-1, :-1] + bias.view(-1, 1, 1)


@pytest.mark.parametrize("size", [28, 14, 7])
def test_convolution_pads_like_keras(size):
    layer = SameConv2d(2, 3).double()
    image = torch.randn(2, size, size, dtype=torch.float64)
    expected = keras_same_convolution(image, layer.weight.detach(), layer.bias.detach())
    torch.testing.assert_close(layer(image[None])[0].detach(), expected)


@pytest.mark.parametrize("size", [7, 14])
def test_transposed_convolution_drops_the_last_row_and_column(size):
    layer = SameConvTranspose2d(2, 3, (2 * size, 2 * size)).double()
    image = torch.randn(2, size, size, dtype=torch.float64)
    expected = keras_transposed_convolution(image, layer.weight.detach(), layer.bias.detach())
    torch.testing.assert_close(layer(image[None])[0].detach(), expected)


@pytest.mark.parametrize("size", [(28, 28), (15, 22), (7, 7)])
def test_transposed_convolution_is_the_transpose_of_the_convolution(size):
    convolution = SameConv2d(2, 3).double()
    transposed = SameConvTranspose2d(3, 2, size).double()
    transposed.load_state_dict({"weight": convolution.weight, "bias": torch.zeros(2)})
    with torch.no_grad():
        convolution.bias.zero_()
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    y = torch.randn_like(convolution(x))
    torch.testing.assert_close((convolution(x) * y).sum(), (x * transposed(y)).sum())


@pytest.mark.parametrize("size", [(8, 6), (5, 8), (7, 7), (4, 5)])
def test_transposed_convolution_has_the_gradients_of_its_definition(size):
    layer = SameConvTranspose2d(2, 3, size).double()
    images = torch.randn(2, 2, math.ceil(size[0] / 2), math.ceil(size[1] / 2), dtype=torch.float64)
    images.requires_grad_()
    assert torch.autograd.gradcheck(layer, images)
    images.requires_grad_(False)
    for parameter in layer.parameters():
        assert torch.autograd.gradcheck(lambda _, layer=layer: layer(images), parameter)


def test_dropout_keeps_what_it_should_and_scales_it():
    torch.manual_seed(0)
    layer = Dropout(0.25)
    images = torch.rand(64, 8, 16, 16) + 1
    kept = layer(images)
    assert (kept != 0).float().mean() == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(kept[kept != 0], images[kept != 0] / 0.75)
    assert not torch.equal(layer(images) != 0, kept != 0)
    assert torch.equal(layer.eval()(images), images)


@pytest.mark.parametrize("shape", SHAPES)
def test_networks_follow_the_image_shape(shape):
    for first_channels in (256, 6):
        images = Generator(shape, first_channels)(torch.randn(2, 100))
        assert images.shape == (2, *shape)
        assert images.abs().max() <= 1
    for network_class in (Discriminator, PoolingDiscriminator):
        discriminator = network_class(shape, num_classes=7)
        assert discriminator(images).shape == (2, 7)
        last = list(discriminator.parameters())[-2]
        assert discriminator.features(images).shape == (2, last.shape[1])


@pytest.mark.parametrize(
    ("network_class", "channels"),
    [(PoolingDiscriminator, [16, 32, 64]), (WidePoolingDiscriminator, [32, 64, 128])],
)
def test_pooling_discriminator_is_its_definition(network_class, channels):
    network = network_class((3, 9, 14), num_classes=4).double().eval()
    *convolutions, weight, bias = [each.detach() for each in network.parameters()]
    assert [len(offset) for offset in convolutions[1::2]] == channels
    images = torch.rand(2, 3, 9, 14, dtype=torch.float64) * 2 - 1
    x = images
    for kernel, offset, padding in zip(
        convolutions[::2], convolutions[1::2], (2, 2, 1), strict=True
    ):
        x = F.leaky_relu(F.conv2d(x, kernel, offset, padding=padding), 0.01)
        if padding == 2:
            x = F.max_pool2d(x, 2)
    torch.testing.assert_close(network.features(images).detach(), x.flatten(1))
    torch.testing.assert_close(network(images).detach(), x.flatten(1) @ weight.T + bias)


def test_networks_have_the_tutorials_number_of_weights():
    # From the layer sizes in the tutorial, weights and biases.
    discriminator = (9 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 128 + 128) + (2048 * 10 + 10)
    generator = (100 * 12544 + 12544) + (9 * 256 * 128 + 128) + (9 * 128 * 64 + 64) + (9 * 64 + 1)
    generator += 2 * (128 + 64)
    assert sum(w.numel() for w in Discriminator((1, 28, 28), 10).parameters()) == discriminator
    assert sum(w.numel() for w in Generator((1, 28, 28)).parameters()) == generator


def test_generator_halves_its_channels_twice():
    shapes = [w.shape[:2] for w in Generator((3, 28, 28), 30).parameters() if w.dim() == 4]
    assert shapes == [(30, 15), (15, 7), (7, 3)]


@pytest.mark.parametrize(
    "network",
    [
        Generator((1, 28, 28)),
        Discriminator((1, 28, 28), 10),
        PoolingDiscriminator((1, 28, 28), 10),
    ],
)
def test_weights_start_glorot_uniform_and_biases_zero(network):
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    assert len(layers) == 4
    for layer in layers:
        receptive_field = layer.weight[0, 0].numel()
        fans = receptive_field * (layer.weight.shape[0] + layer.weight.shape[1])
        limit = math.sqrt(6 / fans)
        assert layer.weight.abs().max() <= limit
        # A uniform distribution on [-limit, limit] has this standard deviation.
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)
        assert (layer.bias == 0).all()


def test_constants_are_those_of_keras():
    modules = [*Generator((1, 28, 28)).modules(), *Discriminator((1, 28, 28), 10).modules()]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    assert [(m.eps, m.momentum) for m in norms] == [(1e-3, 0.01)] * 2
    slopes = [m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.01] * 5
    assert [m.p for m in modules if isinstance(m, nn.Dropout)] == [0.5]
