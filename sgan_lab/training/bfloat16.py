"""Training steps in bfloat16 on a CPU, from float32 weights, as a plugin of Lightning's trainer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from pytorch_lightning.plugins import Precision
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.utils.parametrize import is_parametrized

from sgan_lab.algorithms.base import Algorithm
from sgan_lab.algorithms.vat import VAT
from sgan_lab.errors import ConfigError
from sgan_lab.networks.layers import KERNEL, SameConvTranspose2d, same_padding

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def check_bfloat16(algorithm: Algorithm, device: torch.device) -> None:
    """Raise a ConfigError unless `BFloat16` trains an algorithm well, and faster than without."""
    reason = None
    if isinstance(algorithm, VAT):
        reason = "is not for VAT, whose small changes of an image it rounds away"
    elif any(map(is_parametrized, algorithm.modules())):
        reason = "is not for weight-normalized networks, such as mlp and conv9"
    elif device.type != "cpu":
        reason = "is for CPUs; trainer.precision=bf16-mixed is for GPUs"
    elif not torch.cpu._is_avx512_bf16_supported():  # nothing public knows it in torch 2.6
        reason = "needs a CPU with AVX512-BF16, which this one lacks"
    if reason:
        raise ConfigError("trainer.precision", BFloat16.precision, f"{reason}; give 32-true")


class BFloat16(Precision):
    """Within training steps the layers of the networks compute in bfloat16, but for the last ones.

    Weights, their gradients and moments stay float32; each pass makes bfloat16 copies of the
    weights. Activations stay bfloat16 from layer to layer. The last layer of each network, the
    statistics of batch normalization and losses are float32, and so is all outside of steps.

    Lightning's bf16-mixed is slower on a CPU than float32: its layouts and transposed convolutions.
    """

    precision = "bf16"
    in_step = False

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Have the layers of an algorithm's networks compute in bfloat16 within training steps."""
        for network in module.children():
            layers = [each for each in network.modules() if isinstance(each, LAYERS)]
            for layer in layers[:-1]:
                layer.forward = partial(self.forward, layer, layer.forward)
            for layer in layers[-1:]:
                layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            if hasattr(network, "features"):
                network.features = partial(float_features, network.features)
        for layer in module.modules():
            if isinstance(layer, nn.Flatten):
                layer.forward = partial(self.flatten, layer.forward)
        return module

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        """Compute in bfloat16 within."""
        self.in_step = True
        try:
            yield
        finally:
            self.in_step = False

    def forward(
        self, layer: nn.Module, forward: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> Tensor:
        """The output of a layer with weights; `forward` is that of its class."""
        if not self.in_step:
            return forward(inputs)
        inputs, weight = inputs.bfloat16(), layer.weight.bfloat16()
        bias = None if layer.bias is None else layer.bias.bfloat16()
        if isinstance(layer, SameConvTranspose2d):
            return MatrixConvTranspose2d.apply(inputs, weight, layer.size) + bias.view(-1, 1, 1)
        # torch's transposed convolution takes half as long again with a bias.
        is_added = bias is not None and isinstance(layer, nn.ConvTranspose2d)
        # `forward` finds these before the parameters.
        vars(layer).update(weight=weight, bias=None if is_added else bias)
        try:
            outputs = forward(inputs)
        finally:
            del vars(layer)["weight"], vars(layer)["bias"]
        return outputs + bias.view(-1, 1, 1) if is_added else outputs

    def flatten(self, forward: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Images flat, and their gradients channels last: others are slow in the layers before."""
        is_convolved = self.in_step and inputs.dim() == 4
        return forward(ChannelsLast.apply(inputs) if is_convolved else inputs)


def float_features(features: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Features of images in float32, since losses are made of them."""
    return features(images).float()


class ChannelsLast(torch.autograd.Function):
    """Images (N, channels, height, width), whose gradients lie channels last in memory."""

    @staticmethod
    def forward(_: FunctionCtx, images: Tensor) -> Tensor:
        """The same images."""
        return images.view_as(images)

    @staticmethod
    def backward(_: FunctionCtx, gradient: Tensor) -> Tensor:
        """The same gradient."""
        return gradient.contiguous(memory_format=torch.channels_last)


class MatrixConvTranspose2d(torch.autograd.Function):
    """`SameConvTranspose2d` without its bias, as matrix products.

    In bfloat16 they take three quarters of the time of torch's transposed convolution.
    """

    @staticmethod
    def forward(
        context: FunctionCtx, images: Tensor, weight: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Images (N, in, ceil(height/2), ceil(width/2)) to (N, out, height, width)."""
        context.save_for_backward(images, weight)
        context.size = size
        count, _, *halves = images.shape
        taps = images.permute(0, 2, 3, 1).flatten(0, 2) @ by_input(weight)
        taps = taps.view(count, *halves, KERNEL, KERNEL, -1)
        height, width = (2 * half for half in halves)
        outputs = taps.new_zeros(count, height + 1, width + 1, taps.shape[-1])
        for row in range(KERNEL):
            for column in range(KERNEL):
                pixels = outputs[:, row : row + height : 2, column : column + width : 2]
                pixels += taps[:, :, :, row, column]
        top, left = (same_padding(side)[0] for side in size)
        return outputs[:, top : top + size[0], left : left + size[1]].permute(0, 3, 1, 2)

    @staticmethod
    def backward(context: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of images and weight."""
        images, weight = context.saved_tensors
        padding = []
        for side, half in zip(context.size, images.shape[2:], strict=True):
            before = same_padding(side)[0]
            padding = [before, 2 * half + 1 - side - before, *padding]
        pixels = F.pad(gradient, padding).permute(0, 2, 3, 1)
        windows = pixels.unfold(1, KERNEL, 2).unfold(2, KERNEL, 2).permute(0, 1, 2, 4, 5, 3)
        taps = windows.flatten(3).flatten(0, 2)
        of_images = (taps @ by_input(weight).T).view(*windows.shape[:3], -1).permute(0, 3, 1, 2)
        of_weight = images.permute(0, 2, 3, 1).flatten(0, 2).T @ taps
        of_weight = of_weight.view(len(weight), KERNEL, KERNEL, -1).permute(0, 3, 1, 2)
        return of_images, of_weight, None


def by_input(weight: Tensor) -> Tensor:
    """Weights (in, out, 3, 3) of a transposed convolution as a matrix (in, 9 * out)."""
    return weight.permute(0, 2, 3, 1).flatten(1)
