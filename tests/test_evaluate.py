import math

import pytest
import torch
from torch import nn

from sgan_lab.data import LabeledImages, scale
from sgan_lab.evaluate import evaluate


class Brightness(nn.Module):
    """Class logits from one pixel, with dropout that would spoil them."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.9)

    def forward(self, images):
        bright = self.dropout(images[:, 0, 0, 0])
        return torch.stack([-bright, bright, torch.full_like(bright, -9.0)], dim=1)


def test_evaluation_equals_a_count_by_hand():
    pixels = torch.tensor([0, 0, 255, 255, 255], dtype=torch.uint8).view(5, 1, 1, 1)
    labels = torch.tensor([0, 1, 1, 1, 0])
    classifier = Brightness()
    result = evaluate(classifier, LabeledImages(pixels, labels), num_classes=3)
    assert result.errors == 2
    assert result.accuracy == pytest.approx(3 / 5)
    assert result.confusion.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert result.class_accuracies[:2] == pytest.approx([1 / 2, 2 / 3])
    assert math.isnan(result.class_accuracies[2])
    logits = classifier.eval()(scale(pixels))
    expected = -logits.log_softmax(1)[range(5), labels].mean()
    assert result.loss == pytest.approx(expected.item())


def test_evaluation_leaves_the_mode_as_it_was():
    classifier = Brightness().train()
    evaluate(classifier, LabeledImages(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])), 3)
    assert classifier.training
