import pytest
import torch

from sgan_lab import losses

LOGITS = torch.randn(7, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.tensor([0, 9, 3, 3, 5, 1, 7])


def probability_of_real(logits):
    return 1 - 1 / (logits.exp().sum(dim=1) + 1)


def test_class_loss_is_the_cross_entropy_of_softmax():
    softmax = LOGITS.exp() / LOGITS.exp().sum(dim=1, keepdim=True)
    expected = -softmax[range(7), LABELS].log().mean()
    torch.testing.assert_close(losses.class_loss(LOGITS, LABELS), expected)


def test_real_loss_is_the_binary_cross_entropy_with_target_real():
    expected = -probability_of_real(LOGITS).log().mean()
    torch.testing.assert_close(losses.real_loss(LOGITS), expected)


def test_label_smoothing_is_one_sided():
    real = probability_of_real(LOGITS)
    expected = -(0.9 * real.log() + 0.1 * (1 - real).log()).mean()
    torch.testing.assert_close(losses.real_loss(LOGITS, label_smoothing=0.1), expected)


def test_fake_loss_is_the_binary_cross_entropy_with_target_fake():
    expected = -(1 - probability_of_real(LOGITS)).log().mean()
    torch.testing.assert_close(losses.fake_loss(LOGITS), expected)


def test_feature_matching_loss_compares_the_means_of_batches():
    real = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    fake = torch.tensor([[5.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    # Means (2, 3) and (2, 0), squared differences 0 and 9.
    assert losses.feature_matching_loss(real, fake).item() == pytest.approx(4.5)


@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize(
    "loss",
    [
        losses.real_loss,
        losses.fake_loss,
        lambda x: losses.class_loss(x, LABELS),
        lambda x: losses.pseudo_label_loss(x, 0.95)[0],
        lambda x: losses.consistency_loss(x, -x),
        lambda x: losses.kl_divergence(x, -x),
        losses.entropy,
    ],
)
def test_losses_and_gradients_are_finite_at_extreme_logits(loss, value):
    logits = torch.full((7, 10), value)
    logits[:, 0] *= -1
    logits[0] = value
    logits.requires_grad_()
    result = loss(logits)
    result.backward()
    assert result.isfinite()
    assert logits.grad.isfinite().all()
