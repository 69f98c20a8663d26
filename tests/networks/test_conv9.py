import pytest
import torch
import torch.nn.functional as F

from sgan_lab.networks.conv9 import Conv9Discriminator, Conv9Generator

# Filters, kernel, stride, padding of the authors' train_cifar_feature_matching.py.
TABLE = [
    *[(96, 3, 1, 1), (96, 3, 1, 1), (96, 3, 2, 1)],
    *[(192, 3, 1, 1), (192, 3, 1, 1), (192, 3, 2, 1)],
    *[(192, 3, 1, 0), (192, 1, 1, 0), (192, 1, 1, 0)],
]


def normalized(scale, direction):
    """Weights g v / ||v||, each unit along the first dimension."""
    norm = direction.flatten(1).square().sum(1).sqrt().view(scale.shape)
    return scale * direction / norm


def triples(network):
    """Bias, g and v of each weight-normalized layer."""
    weights = list(network.parameters())
    return zip(weights[::3], weights[1::3], weights[2::3], strict=True)


def before_activations(network, images):
    """The output of each layer before its ReLU, in inference, by torch's functions."""
    x, layers = images, triples(network)
    for (filters, kernel, stride, padding), (bias, g, v) in zip(TABLE, layers, strict=False):
        assert v.shape == (filters, x.shape[1], kernel, kernel)
        y = F.conv2d(x, normalized(g, v), bias, stride, padding)
        x = F.leaky_relu(y, 0.2)
        yield y
    bias, g, v = list(network.last.parameters())
    yield x.mean(dim=(2, 3)) @ normalized(g, v).T + bias


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 9, 14)])
def test_the_discriminator_is_the_authors(shape):
    torch.manual_seed(0)
    network = Conv9Discriminator(shape, 7).double().eval()
    images = torch.rand(3, *shape, dtype=torch.float64) * 2 - 1
    for weight in network.parameters():
        weight.data += 0.01 * torch.randn_like(weight)
    with torch.no_grad():
        *_, last, logits = before_activations(network, images)
        features = F.leaky_relu(last, 0.2).mean(dim=(2, 3))
        torch.testing.assert_close(network.features(images), features)
        torch.testing.assert_close(network(images), logits)


def test_it_trains_what_the_authors_program_trains():
    # v and biases everywhere; g of the last layers; of batch normalization the biases.
    def trained(network):
        return sum(w.numel() for w in network.parameters() if w.requires_grad)

    channels, expected = 3, 192 * 10 + 2 * 10
    for filters, kernel, *_ in TABLE:
        expected += channels * filters * kernel**2 + filters
        channels = filters
    assert trained(Conv9Discriminator((3, 32, 32), 10)) == expected
    generator = 100 * 8192 + 8192 + 25 * (512 * 256 + 256 * 128 + 128 * 3) + 256 + 128 + 2 * 3
    assert trained(Conv9Generator((3, 32, 32))) == generator
    gains = 8192 + 256 + 128
    assert trained(Conv9Generator((3, 32, 32), train_gain=True)) == generator + gains


def test_initialization_gives_every_unit_mean_0_and_variance_1_and_logits_a_tenth():
    torch.manual_seed(0)
    network = Conv9Discriminator((3, 16, 16), 5).double().eval()  # without dropout
    images = torch.rand(50, 3, 16, 16, dtype=torch.float64) * 2 - 1
    network.initialize(images)
    with torch.no_grad():
        outputs = list(before_activations(network, images))
    assert len(outputs) == 10
    for output in outputs:
        values = output.transpose(0, 1).flatten(1)
        std = torch.full((len(values),), 0.1 if output is outputs[-1] else 1.0).double()
        torch.testing.assert_close(values.mean(1), torch.zeros_like(std), rtol=0, atol=1e-9)
        torch.testing.assert_close(values.std(1, correction=0), std)


def test_without_initialization_features_keep_their_size():
    torch.manual_seed(0)
    network = Conv9Discriminator((3, 32, 32), 10).eval()
    *outputs, _ = before_activations(network, torch.randn(8, 3, 32, 32))
    for output in outputs[:6]:  # the border is of zeros
        assert 0.5 < output.square().mean() < 2.5


def test_dropout_is_that_of_the_program():
    network = Conv9Discriminator((3, 32, 32), 10)
    assert [layer.p for layer in network.hidden if hasattr(layer, "p")] == [0.2, 0.5, 0.5]


@pytest.mark.parametrize(
    ("shape", "first", "widths"),
    [((3, 32, 32), (4, 4), [512, 256, 128, 3]), ((3, 64, 64), (4, 4), [512, 256, 128, 64, 3])],
)
def test_the_generator_is_the_authors_and_goes_on_to_64_pixels(shape, first, widths):
    torch.manual_seed(0)
    network = Conv9Generator(shape).double()
    *weights, last_bias, g, v = list(network.parameters())
    weights, noise = iter(weights), torch.rand(5, 100, dtype=torch.float64)

    def normalize(x):
        gain, shift = next(weights), next(weights)
        assert (gain == 1).all()
        mean, variance = x.mean(dim=dims(x)), x.var(dim=dims(x), correction=0)
        view = [-1] + [1] * (x.dim() - 2)
        x = (x - mean.view(view)) / (variance.view(view) + 1e-6).sqrt() + shift.view(view)
        return x.clamp(min=0)

    def dims(x):
        return [0, *range(2, x.dim())]

    with torch.no_grad():
        x = normalize(noise @ next(weights).T).view(5, 512, *first)
        for width in widths[1:-1]:
            x = F.conv_transpose2d(x, next(weights), stride=2, padding=2, output_padding=1)
            assert x.shape[1] == width
            x = normalize(x)
        weight = normalized(g.view(-1, 1, 1, 1), v.transpose(0, 1)).transpose(0, 1)
        x = F.conv_transpose2d(x, weight, last_bias, stride=2, padding=2, output_padding=1)
        torch.testing.assert_close(network(noise), x.tanh())
    assert x.shape[1:] == shape


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 48, 64), (3, 5, 7)])
def test_the_generator_follows_the_image_shape(shape):
    images = Conv9Generator(shape, train_gain=True)(torch.rand(4, 100))
    assert images.shape == (4, *shape)
    assert images.abs().max() <= 1
    assert images.min() < 0


def test_a_narrow_generator_has_a_half_of_the_channels_in_each_layer():
    network = Conv9Generator((3, 64, 64), first_channels=16)
    widths = [w.shape[0] for w in network.parameters() if w.dim() == 4 and len(w) > 1]
    assert widths[:4] == [16, 8, 4, 2]
    assert network(torch.randn(2, 100)).shape == (2, 3, 64, 64)
