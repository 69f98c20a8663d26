import torch
import torch.nn.functional as F

from sgan_lab.networks.registry import make_discriminator


class Plain:
    """WRN-28-2 in inference, by torch's functions, from the weights by name and kind in turn."""

    def __init__(self, network):
        self.kernels = iter([w for w in network.parameters() if w.dim() == 4])
        norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        self.norms = iter(norms)
        self.last = network.last

    def activate(self, x):
        norm = next(self.norms)
        mean, variance, gain, shift = (
            each.view(-1, 1, 1)
            for each in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        return F.leaky_relu((x - mean) / (variance + 1e-5).sqrt() * gain + shift, 0.1)

    def convolve(self, x, stride=1):
        kernel = next(self.kernels)
        return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    def __call__(self, images):
        x = self.convolve(images)
        for group, width in enumerate((32, 64, 128)):
            for block in range(4):
                activated = self.activate(x)
                stride = 2 if group > 0 and block == 0 else 1
                y = self.convolve(activated, stride)
                y = self.convolve(self.activate(y))
                x = (self.convolve(activated, stride) if block == 0 else x) + y
                assert x.shape[1] == width
        features = self.activate(x).mean(dim=(2, 3))
        return features, features @ self.last.weight.T + self.last.bias


def test_it_is_its_definition():
    torch.manual_seed(0)
    network = make_discriminator("wide_resnet", (3, 32, 20), 7).double()
    images = torch.rand(3, 3, 32, 20, dtype=torch.float64) * 2 - 1
    network(images)  # moves the averages of batch normalization
    for weight in network.parameters():
        weight.data += 0.01 * torch.randn_like(weight)
    network.eval()
    with torch.no_grad():
        features, logits = Plain(network)(images)
        torch.testing.assert_close(network.features(images), features)
        torch.testing.assert_close(network(images), logits)


def test_it_has_the_papers_number_of_weights():
    network = make_discriminator("wide_resnet", (3, 32, 32), 10)
    expected = 9 * 3 * 16
    for before, width in ((16, 32), (32, 64), (64, 128)):
        first = 2 * before + 9 * before * width + 2 * width + 9 * width**2 + before * width
        expected += first + 3 * (4 * width + 18 * width**2)
    expected += 2 * 128 + 128 * 10 + 10
    assert sum(weight.numel() for weight in network.parameters()) == expected
    assert round(expected / 1e6, 1) == 1.5
