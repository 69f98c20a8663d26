import itertools
import math

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


def test_inverted_class_loss_is_of_the_most_probable_class():
    softmax = LOGITS.exp() / LOGITS.exp().sum(dim=1, keepdim=True)
    expected = -(1 - softmax.max(dim=1).values).log().mean()
    torch.testing.assert_close(losses.inverted_class_loss(LOGITS), expected)
    sure = torch.tensor([[200.0, 0.0]], requires_grad=True)  # 1 - p is zero in float32
    loss = losses.inverted_class_loss(sure)
    loss.backward()
    assert (loss.item(), sure.grad.tolist()) == (200, [[1, -1]])


def test_entropy_is_that_of_softmax():
    softmax = LOGITS.exp() / LOGITS.exp().sum(dim=1, keepdim=True)
    expected = -sum(p * math.log(p) for row in softmax.tolist() for p in row) / 7
    assert losses.entropy(LOGITS).item() == pytest.approx(expected)
    assert losses.entropy(torch.zeros(2, 10)).item() == pytest.approx(math.log(10))


def test_pull_away_term_is_the_mean_squared_cosine_of_pairs():
    features = LOGITS[:4]
    squares = [
        (a @ b / (a.norm() * b.norm())).item() ** 2 for a, b in itertools.permutations(features, 2)
    ]
    assert losses.pull_away_term(features).item() == pytest.approx(sum(squares) / 12)
    assert losses.pull_away_term(torch.eye(3)).item() == pytest.approx(0, abs=1e-6)
    assert losses.pull_away_term(torch.ones(3, 5)).item() == pytest.approx(1)


def test_pull_away_term_of_features_that_are_all_zero_has_a_gradient():
    features = torch.zeros(3, 5, requires_grad=True)
    losses.pull_away_term(features).backward()
    assert features.grad.isfinite().all()


def test_low_density_loss_is_the_mean_excess_of_those_above():
    log_densities = torch.tensor([-500.0, -700.0, -620.0, -600.0], requires_grad=True)
    loss = losses.low_density_loss(log_densities, torch.tensor(-610.0))
    assert loss.item() == pytest.approx((110 + 10) / 2)
    loss.backward()
    assert log_densities.grad.tolist() == [0.5, 0, 0, 0.5]


def test_low_density_loss_is_zero_where_no_image_is_above():
    log_densities = torch.tensor([-500.0, -700.0], requires_grad=True)
    loss = losses.low_density_loss(log_densities, torch.tensor(-100.0))
    loss.backward()
    assert loss.item() == 0
    assert log_densities.grad.tolist() == [0, 0]


def test_fairness_loss_is_zero_where_no_image_is_confident():
    logits = torch.randn(4, 3, requires_grad=True)
    loss = losses.fairness_loss(logits, torch.zeros(4), torch.full((3,), 1 / 3))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize(
    "loss",
    [
        losses.real_loss,
        losses.fake_loss,
        lambda x: losses.class_loss(x, LABELS),
        lambda x: losses.pseudo_label_loss(x, -x, 0.95)[0],
        lambda x: losses.fairness_loss(x, torch.ones(7), torch.full((10,), 0.1)),
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
