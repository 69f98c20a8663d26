import torch

from sgan_lab.algorithms.freematch import AdaptiveThreshold, FreeMatch
from tests.plain import discriminate
from tests.steps import check_step, make_step


def plain_free_match(p, target, averages, rate, weight):
    """The losses of the paper, written out for each image and class.

    Args:
        p: class probabilities of one view.
        target: of the other one.
        averages: of confidence, probabilities and frequencies; they are updated.
        rate: of these averages.
        weight: of the fairness loss.
    """
    count, classes = p.shape
    guesses = target.argmax(1).tolist()
    of_batch = [sum(row.max() for row in target) / count, target.sum(0) / count]
    of_batch.append(torch.tensor([guesses.count(each) / count for each in range(classes)]))
    for index, value in enumerate(of_batch):
        averages[index] = (1 - rate) * averages[index] + rate * value.detach()
    confidence, probabilities, frequencies = averages
    thresholds = confidence * probabilities / probabilities.max()
    confident = [
        index for index in range(count) if target[index].max() > thresholds[guesses[index]]
    ]
    loss = sum(-p[index, guesses[index]].log() for index in confident) / count
    predicted = [p[index].argmax().item() for index in confident]
    present = sorted(set(predicted))
    means = sum(p[index] for index in confident) / count
    ratios = [means[each] / (predicted.count(each) / count) for each in present]
    expected = probabilities / frequencies / (probabilities / frequencies).sum()
    fairness = sum(
        expected[each] * (ratio / sum(ratios)).log()
        for each, ratio in zip(present, ratios, strict=True)
    )
    return loss + weight * fairness, confident


def test_steps_are_the_papers(monkeypatch):
    rate, weight = 0.9, 0.7
    settings = {"threshold_rate": rate, "fairness_weight": weight, "target_dropout": False}
    module, batch = make_step(FreeMatch, monkeypatch, unlabeled_batches=3, **settings)
    averages = [torch.tensor(0.1), torch.full((10,), 0.1), torch.full((10,), 0.1)]
    for step in range(3):
        batch.unlabeled_images[24:] += 0.1  # the other view
        with torch.no_grad():  # so that images differ in how confident they are
            module.discriminator.layers[-1].weight *= 1.5
        confident = []

        def plain_losses(weights, confident=confident):
            x = torch.cat([batch.labeled_images, batch.unlabeled_images[:24]])
            p = discriminate(weights, x).softmax(1)
            target = discriminate(weights, batch.unlabeled_images[24:], False).softmax(1)
            loss, found = plain_free_match(p[8:], target, averages, rate, weight)
            confident.extend(found)
            return p[:8].log(), loss

        values = check_step(module, batch, plain_losses)
        assert values["unlabeled/confident"] == len(confident) / 24, step
        assert 0 < len(confident) < 24


def test_classes_that_are_learned_less_need_less_to_be_labels():
    threshold = AdaptiveThreshold(2, rate=1.0)
    thresholds = threshold(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]).log())
    confidence, means = (0.9 + 0.8 + 0.6) / 3, (0.7, 0.3)
    expected = torch.tensor([confidence, confidence, confidence * means[1] / means[0]])
    torch.testing.assert_close(thresholds, expected)
    balanced = torch.tensor([0.7 / (2 / 3), 0.3 / (1 / 3)])
    torch.testing.assert_close(threshold.balanced, balanced / balanced.sum())
