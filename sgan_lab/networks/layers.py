"""Layers that behave like Keras's, in which the tutorial is written.

Keras's 'same' padding is asymmetric, its weights start Glorot uniform with zero biases, and its
batch normalization keeps 0.99 of the running averages. Pixels lie in memory channels last, as in
Keras, which is faster on a CPU.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

LEAKY_SLOPE = 0.01
KERNEL = 3


def same_padding(size: int) -> tuple[int, int]:
    """Padding (before, after) of Keras's 'same' convolution, kernel 3 and stride 2, along one axis.

    The output has ceil(size / 2) pixels; where the total padding is odd, the odd pixel goes after.
    """
    total = (math.ceil(size / 2) - 1) * 2 + KERNEL - size
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """3x3 convolution, stride 2, 'same' padding: an image of (H, W) to (ceil(H/2), ceil(W/2))."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, KERNEL, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Pad and convolve."""
        height, width = images.shape[-2:]
        return super().forward(F.pad(images, (*same_padding(width), *same_padding(height))))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """The transpose of `SameConv2d`: 3x3, stride 2, doubles an image up to a given size.

    The size is (height, width) of the output; the input is (ceil(height/2), ceil(width/2)).
    """

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, KERNEL, stride=2)
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Convolve without padding, then cut what the forward convolution would have padded."""
        if images.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            return PhasewiseConvTranspose2d.apply(images, self.weight, self.bias, self.size)
        height, width = self.size
        top, left = same_padding(height)[0], same_padding(width)[0]
        return super().forward(images)[..., top : top + height, left : left + width]


class PhasewiseConvTranspose2d(torch.autograd.Function):
    """`SameConvTranspose2d` on a CPU, in two thirds of the time of torch's own.

    Without its zeros, a transposed convolution of stride 2 is four convolutions, one for the output
    pixels of each row and column parity (Shi et al. 2016, Is the deconvolution layer the same as a
    convolutional layer?). Backward, torch's own is the fastest.
    """

    @staticmethod
    def forward(
        context: FunctionCtx, images: Tensor, weight: Tensor, bias: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Images (N, in, ceil(height/2), ceil(width/2)) to (N, out, height, width)."""
        context.save_for_backward(images, weight)
        context.size = size
        padded = F.pad(images, (1, 0, 1, 0))
        kernel = weight.transpose(0, 1).flip(2, 3)
        output = images.new_empty(len(images), len(bias), *size).contiguous(
            memory_format=torch.channels_last
        )
        for row, (rows, input_rows) in enumerate(phases(size[0])):
            for column, (columns, input_columns) in enumerate(phases(size[1])):
                output[:, :, rows, columns] = F.conv2d(
                    padded[:, :, input_rows, input_columns], kernel[:, :, row::2, column::2], bias
                )
        return output

    @staticmethod
    def backward(context: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of images, weight and bias."""
        images, weight = context.saved_tensors
        rows, columns = (
            (same_padding(size)[0], 2 * math.ceil(size / 2) + 1 - size - same_padding(size)[0])
            for size in context.size
        )
        gradients = torch.ops.aten.convolution_backward(
            F.pad(gradient, (*columns, *rows)),
            images,
            weight,
            bias_sizes=[weight.shape[1]],
            stride=[2, 2],
            padding=[0, 0],
            dilation=[1, 1],
            transposed=True,
            output_padding=[0, 0],
            groups=1,
            output_mask=context.needs_input_grad[:3],
        )
        return *gradients, None


def phases(size: int) -> list[tuple[slice, slice]]:
    """The two phases of a transposed convolution, kernel 3 and stride 2, along one axis.

    The even phase sees the kernel's taps 0 and 2, the odd one tap 1.

    Returns:
        For each the output pixels, of `size`, and the input pixels, with a zero put before them.
    """
    before = same_padding(size)[0]
    slices = []
    for phase in (0, 1):
        first = (phase + before) % 2
        count = len(range(first, size, 2))
        start = (first + before + phase) // 2
        slices.append((slice(first, None, 2), slice(start, start + count + 1 - phase)))
    return slices


class Dropout(nn.Dropout):
    """torch's, but drawn from uniform numbers: a third of the time of its Bernoulli on a CPU."""

    def forward(self, images: Tensor) -> Tensor:
        """Zero each value with probability p, and scale the others by 1 / (1 - p)."""
        if not self.training:
            return images
        return images * ((torch.rand_like(images) >= self.p) / (1 - self.p))


def initialize_like_keras(module: nn.Module) -> None:
    """Set weights to Glorot uniform (Glorot and Bengio 2010, eq. 16) and biases to zero."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with Keras's constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class FeatureNetwork(nn.Module):
    """A classifier whose last layer, `last`, makes the logits of what `features` returns.

    Args:
        image_shape: (channels, height, width) of an image.
        num_classes: number of classes.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to logits (N, classes)."""
        return self.last(self.features(images))
