"""The losses of the two heads on the discriminator's K class logits l.

The class head is softmax(l). The real-or-fake head adds a fake class whose logit is fixed at 0, so
the probability of "real" is D(x) = 1 - 1 / (sum exp l + 1) = sigmoid(logsumexp l) (Salimans et al.
2016, Improved Techniques for Training GANs, section 5). Both real-or-fake losses are computed from
logsumexp with softplus, so that they neither overflow nor take the logarithm of zero.

These functions take logits of shape (batch, classes), any finite value, and return a scalar in
nats, averaged over the batch. The generator may also be trained on features (section 3.1), and
towards images that differ from each other and are improbable (Dai et al. 2017, Good Semi-supervised
Learning That Requires a Bad GAN, section 5).

Below are the losses on unlabeled images of classifiers that are trained without a generator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the class head with labels of shape (batch,), integers in [0, classes)."""
    return F.cross_entropy(logits, labels)


def real_loss(logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of the real-or-fake head with target real: -log D(x).

    Args:
        logits: of real images.
        label_smoothing: s in the target 1 - s (Salimans et al. 2016, section 3.4, one-sided).
    """
    real_logits = torch.logsumexp(logits, dim=1)
    # -(1 - s) log D - s log (1 - D), since softplus(z) = softplus(-z) + z
    return (F.softplus(-real_logits) + label_smoothing * real_logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Binary cross-entropy of the real-or-fake head with target fake: -log(1 - D(x))."""
    return F.softplus(torch.logsumexp(logits, dim=1)).mean()


def feature_matching_loss(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """Mean squared difference of two batches' mean features (batch, features), over the features.

    The paper has the sum (section 3.1), the authors' program the mean.
    """
    return F.mse_loss(fake_features.mean(dim=0), real_features.mean(dim=0))


def pull_away_term(features: Tensor) -> Tensor:
    """Mean squared cosine of all pairs of features (batch, features), batch > 1; from 0 to 1.

    It is low where generated images differ (Dai et al. 2017, section 5.1, from Zhao et al. 2016,
    Energy-based Generative Adversarial Network, section 2.4).
    """
    num_images = len(features)
    directions = F.normalize(features)
    cosines = directions @ directions.T
    of_pairs = cosines.square().sum() - cosines.diagonal().square().sum()
    return of_pairs / (num_images * (num_images - 1))


def low_density_loss(log_densities: Tensor, threshold: Tensor) -> Tensor:
    """Mean excess over a threshold of the log-densities (batch,) above it, in nats; 0 without any.

    The term E[log p(x) 1(p(x) > epsilon)] (Dai et al. 2017, section 5.2) has the same gradient but
    for its scale: the paper averages over all images, the authors' program over those above.
    """
    excess = F.relu(log_densities - threshold)
    return excess.sum() / (excess > 0).sum().clamp(min=1)


def pseudo_label_loss(
    logits: Tensor, target_logits: Tensor, threshold: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy with the most probable classes as labels, 0 where they are not probable enough.

    Lee 2013, Pseudo-Label, with the threshold of Oliver et al. 2018, Realistic Evaluation of Deep
    Semi-Supervised Learning Algorithms; of two views Sohn et al. 2020, FixMatch, equation 4.

    Args:
        logits: of unlabeled images.
        target_logits: that give the labels, of the same or another view; they get no gradient.
        threshold: in [0, 1); what the probability of a label must exceed, or one for each image
            (batch,).

    Returns:
        The loss, and whether each image's label counts, (batch,), as 0 or 1.
    """
    probabilities, labels = target_logits.detach().softmax(dim=1).max(dim=1)
    confident = (probabilities > threshold).to(logits.dtype)
    loss = (confident * F.cross_entropy(logits, labels, reduction="none")).mean()
    return loss, confident


def inverted_class_loss(logits: Tensor) -> Tensor:
    """-log(1 - p), p being the probability of the most probable class.

    The inverted cross-entropy of Dong and Lin 2019, MarginGAN, with that class as the label.
    """
    others = logits.scatter(1, logits.argmax(dim=1, keepdim=True), -torch.inf)
    return (logits.logsumexp(dim=1) - others.logsumexp(dim=1)).mean()


def fairness_loss(logits: Tensor, confident: Tensor, expected: Tensor) -> Tensor:
    """The cross-entropy of two class distributions with its sign turned, in nats.

    Wang et al. 2023, FreeMatch, equations 9 to 11. The second distribution is that of the mean
    probability of each class on confident images, divided by how often it is the predicted one,
    and normalized. Classes that are never predicted have no part in it; the authors' program adds a
    constant for each. Without a confident image the loss is 0.

    Args:
        logits: of unlabeled images.
        confident: whether each image counts, (batch,), as 0 or 1.
        expected: the first distribution, (classes,); it gets no gradient.
    """
    counted = confident.unsqueeze(1)
    frequencies = (counted * F.one_hot(logits.argmax(dim=1), logits.shape[1])).sum(dim=0)
    ratios = (counted * logits.softmax(dim=1)).sum(dim=0) / frequencies.clamp(min=1)
    ratios = ratios.where(frequencies > 0, 0.0)
    distribution = ratios / ratios.sum().clamp(min=torch.finfo(ratios.dtype).tiny)
    return (expected.detach() * distribution.where(frequencies > 0, 1.0).log()).sum()


def consistency_loss(logits: Tensor, target_logits: Tensor) -> Tensor:
    """Mean squared difference of class probabilities, over images and classes; in [0, 1].

    Laine and Aila 2017, Temporal Ensembling for Semi-Supervised Learning, algorithm 1.

    Args:
        logits: of one view of the images.
        target_logits: of another view, in the same order; they get no gradient.
    """
    return F.mse_loss(logits.softmax(dim=1), target_logits.detach().softmax(dim=1))


def kl_divergence(logits: Tensor, target_logits: Tensor) -> Tensor:
    """KL(p || q) of the class distributions, p of `target_logits`, which get no gradient."""
    target = target_logits.detach().log_softmax(dim=1)
    return F.kl_div(logits.log_softmax(dim=1), target, reduction="batchmean", log_target=True)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the class distribution (Grandvalet and Bengio 2005), from 0 to log(classes).

    The conditional entropy of Dai et al. 2017, section 5.4.
    """
    log_probabilities = logits.log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
