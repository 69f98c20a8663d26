import torch

from sgan_lab.algorithms.base import Algorithm
from sgan_lab.algorithms.mean_teacher import MeanTeacher
from tests.plain import discriminate
from tests.steps import check_step, make_step


def test_a_step_is_the_papers(monkeypatch):
    module, batch = make_step(MeanTeacher, monkeypatch, averaging_rate=3)
    batch.unlabeled_images[8:] += 0.1  # another view
    teacher = list(module.averaged_discriminator.module.parameters())
    for weight in teacher:
        weight += 0.05 * torch.randn_like(weight)

    def plain_losses(weights):
        x = torch.cat([batch.labeled_images, batch.unlabeled_images[:8]])
        log_p = discriminate(weights, x).log_softmax(1)
        target = discriminate(teacher, batch.unlabeled_images[8:]).softmax(1)
        return log_p[:8], ((log_p[8:].exp() - target) ** 2).sum() / (8 * 10)

    check_step(module, batch, plain_losses)
    assert all(weight.grad is None for weight in teacher)


def test_the_teacher_follows_the_student_after_each_step(monkeypatch):
    module, _ = make_step(MeanTeacher, monkeypatch, averaging_rate=3)
    weight = module.discriminator.layers[0].weight
    students = []

    def step(*_, **__):
        weight.data = torch.randn_like(weight)
        students.append(weight.data.clone())

    del module.update  # that of `make_step`
    monkeypatch.setattr(Algorithm, "update", step)
    for _ in range(3):
        module.update(None, None)
    shares = [0.7**2, 0.7, 1]
    expected = sum(share * each for share, each in zip(shares, students, strict=True)) / sum(shares)
    teacher = module.averaged_discriminator.module.layers[0].weight
    torch.testing.assert_close(teacher, expected)
