import pytest
import torch
import torchvision
from torchvision.transforms.v2.functional import normalize

from sgan_lab.algorithms.mean_teacher import MeanTeacher
from sgan_lab.errors import ConfigError
from sgan_lab.networks.registry import make_discriminator
from tests.builders import make_data
from tests.steps import make_step

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as torchvision downloads it, and the network that it is of, without its last layer."""
    torch.manual_seed(3)
    network = torchvision.models.resnet18()
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    network.fc = torch.nn.Identity()
    return path, network.eval()


@pytest.mark.parametrize("shape", [(3, 64, 80), (1, 64, 64)])
def test_features_are_those_of_torchvision_and_of_its_weights(weights, shape):
    path, expected = weights
    network = make_discriminator("resnet18", shape, 4).eval()
    network.load(path)
    pixels = torch.rand(2, *shape)
    color = normalize(pixels.expand(-1, 3, -1, -1), MEAN, STD)
    features = network.features(2 * pixels - 1)
    torch.testing.assert_close(features, expected(color))
    logits = features @ network.last.weight.T + network.last.bias
    torch.testing.assert_close(network(2 * pixels - 1), logits)


@pytest.mark.parametrize("size", [(28, 28), (32, 20)])
def test_a_batch_of_one_small_image_has_a_variance(size):
    network = make_discriminator("resnet18", (1, *size), 3)
    assert network(torch.randn(1, 1, *size)).shape == (1, 3)


def test_training_begins_with_the_weights(weights, monkeypatch):
    settings = {"averaging_rate": 3, "discriminator": "resnet18", "weights": str(weights[0])}
    module, _ = make_step(MeanTeacher, monkeypatch, **settings)
    module.prepare(make_data())
    expected = weights[1].conv1.weight.double()
    for network in (module.discriminator, module.classifier.module):
        assert torch.equal(network.layers.conv1.weight, expected)


@pytest.mark.parametrize(
    ("discriminator", "content", "message"),
    [
        ("strided", {}, "needs model.discriminator=resnet18"),
        ("resnet18", None, r"torchvision's weights of resnet18 \(FileNotFoundError\)"),
        ("resnet18", {"fc.weight": 0}, r"torchvision's weights of resnet18 \(KeyError\)"),
        ("resnet18", {"fc.weight": 0, "fc.bias": 0}, r"weights of resnet18 \(RuntimeError\)"),
        ("resnet18", print, r"weights of resnet18 \(UnpicklingError\)"),
    ],
)
def test_other_weights_are_one_line(tmp_path, monkeypatch, discriminator, content, message):
    path = tmp_path / "weights.pth"
    if content is not None:
        torch.save(content, path)
    settings = {"averaging_rate": 3, "discriminator": discriminator, "weights": str(path)}
    module, _ = make_step(MeanTeacher, monkeypatch, **settings)
    with pytest.raises(ConfigError, match=f"model.weights=.*{message}"):
        module.prepare(make_data())
