import pytest
import torch
import torch.nn.functional as F

from sgan_lab.algorithms.vat import VAT, SameDraws
from tests.plain import discriminate
from tests.steps import check_step, make_step


@pytest.mark.parametrize(("power_iterations", "entropy_weight"), [(1, 0), (2, 0.5)])
def test_a_step_is_the_papers(monkeypatch, power_iterations, entropy_weight):
    settings = {"power_iterations": power_iterations, "entropy_weight": entropy_weight}
    module, batch = make_step(VAT, monkeypatch, epsilon=2.0, **settings)
    x = batch.unlabeled_images

    def length(v):
        return (v**2).sum((1, 2, 3), keepdim=True).sqrt()

    def plain_losses(weights):
        labeled = discriminate(weights, batch.labeled_images).log_softmax(1)
        d = torch.randn(x.shape)
        dropout = torch.get_rng_state()

        def log_p(images):
            torch.set_rng_state(dropout)
            return discriminate(weights, images).log_softmax(1)

        at_x = log_p(x)
        p = at_x.exp().detach()

        def divergence(images):
            return (p * (p.log() - log_p(images))).sum() / 8

        for _ in range(power_iterations):
            d = (0.1 * d / length(d)).requires_grad_()
            (d,) = torch.autograd.grad(divergence(x + d), d)
        entropy = -(at_x.exp() * at_x).sum() / 8
        loss = divergence(x + 2 * d / length(d)) + entropy_weight * entropy
        return labeled, loss

    check_step(module, batch, plain_losses)


def test_draws_are_the_same_each_time():
    def draw(x):
        own, half = torch.rand_like(x), F.dropout(x, 0.5)
        on_gpu, _ = torch.native_dropout(x, 0.25, True)
        return [own.add_(1), half, on_gpu, torch.randn(3).div_(2)]

    x, other = torch.randn(2, 50)
    torch.manual_seed(0)
    expected, state = draw(x), torch.get_rng_state()
    draws = SameDraws()
    torch.manual_seed(0)
    for _ in range(3):
        with draws:
            torch.testing.assert_close(draw(x), expected, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    with draws:
        _, half, on_gpu, _ = draw(other)
    torch.testing.assert_close(half / other, expected[1] / x)
    torch.testing.assert_close(on_gpu / other, expected[2] / x)


def test_the_direction_found_is_the_hessians_first_eigenvector(monkeypatch):
    """Of the divergence at an image, by torch's exact second derivatives."""
    settings = {"epsilon": 1.0, "power_iterations": 1, "entropy_weight": 0}
    module, batch = make_step(VAT, monkeypatch, **settings)
    module.eval()  # no dropout
    image = batch.unlabeled_images[:1]
    logits = module.discriminator(image).detach()

    def divergence(r):
        log_q = module.discriminator(image + r.view_as(image)).log_softmax(1)
        return -(logits.softmax(1) * log_q).sum()

    hessian = torch.autograd.functional.hessian(divergence, torch.zeros(28 * 28).double())
    direction = torch.randn_like(image)
    for _ in range(50):
        direction = module.power_iteration(image, logits, direction, SameDraws())
    first = torch.linalg.eigh(hessian).eigenvectors[:, -1]
    cosine = torch.cosine_similarity(direction.flatten(), first, dim=0).abs()
    assert cosine > 0.98
