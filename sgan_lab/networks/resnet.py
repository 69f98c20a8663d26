"""ResNet-18 of torchvision, for weights that were learned on ImageNet."""

from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from sgan_lab.errors import ConfigError
from sgan_lab.networks.layers import FeatureNetwork

LEAST_SIDE = 64  # pixels, to which smaller images are enlarged: the network divides sides by 32
# Of red, green and blue from 0 to 1, in ImageNet's images.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNet18(FeatureNetwork):
    """Class logits of images, gray ones taken for color; 11 million weights (He et al. 2016)."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        _, *size = image_shape
        self.enlarging = max(1.0, LEAST_SIDE / min(size))
        layers = OrderedDict(resnet18(num_classes=num_classes).named_children())
        self.last = layers.pop("fc")
        self.layers = nn.Sequential(layers)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to the last hidden layer (N, 512)."""
        if self.enlarging > 1:
            images = F.interpolate(images, scale_factor=self.enlarging, mode="bilinear")
        return self.layers(((images + 1) / 2 - self.mean) / self.std).flatten(1)

    def load(self, path: Path) -> None:
        """Take over all weights but the last layer's from a file of torchvision's; no code is run.

        Raises:
            ConfigError: the file cannot be read, or has other weights.
        """
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            del weights["fc.weight"], weights["fc.bias"]
            self.layers.load_state_dict(weights)
        except Exception as error:  # other files each fail in their own way
            kind = type(error).__name__
            allowed = f"must be a file of torchvision's weights of resnet18 ({kind})"
            raise ConfigError("model.weights", str(path), allowed) from error
