"""The mathematics of the algorithms, written out plainly and independently of the package."""

import torch
import torch.nn.functional as F


def plain_adam(weights, gradients, moments, rate, beta1=0.9, beta2=0.999, epsilon=1e-7):
    """Adam (Kingma and Ba 2015, algorithm 1), written out."""
    moments["t"] = t = moments.get("t", 0) + 1
    for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        m = moments.get(("m", index), 0) * beta1 + (1 - beta1) * gradient
        v = moments.get(("v", index), 0) * beta2 + (1 - beta2) * gradient**2
        moments["m", index], moments["v", index] = m, v
        weight -= rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + epsilon)


def features(weights, x):
    """The discriminator's last hidden layer on a list of its weights."""
    w1, b1, w2, b2, w3, b3, *_ = weights
    x = F.leaky_relu(F.conv2d(F.pad(x, (0, 1, 0, 1)), w1, b1, stride=2), 0.01)
    x = F.leaky_relu(F.conv2d(F.pad(x, (0, 1, 0, 1)), w2, b2, stride=2), 0.01)
    return F.leaky_relu(F.conv2d(F.pad(x, (1, 1, 1, 1)), w3, b3, stride=2), 0.01)


def discriminate(weights, x, dropout=True):
    """The discriminator's formula on a list of its weights."""
    x = features(weights, x)
    if dropout:
        kept = torch.rand(len(x), 4, 4, 128) >= 0.5  # drawn channels last
        x = x * 2 * kept.permute(0, 3, 1, 2)
    return x.flatten(1) @ weights[6].T + weights[7]


def generate(weights, averages, z, training):
    """The generator's formula; `averages` holds mean, variance, count of both norms."""
    w0, b0, w1, b1, g1, s1, w2, b2, g2, s2, w3, b3 = weights
    m1, v1, _, m2, v2, _ = averages
    x = (z @ w0.T + b0).view(len(z), 7, 7, -1).permute(0, 3, 1, 2)
    x = F.conv_transpose2d(x, w1, b1, stride=2)[:, :, :14, :14]
    x = F.leaky_relu(F.batch_norm(x, m1, v1, g1, s1, training, 0.01, 1e-3), 0.01)
    x = F.conv_transpose2d(x, w2, b2, padding=1)
    x = F.leaky_relu(F.batch_norm(x, m2, v2, g2, s2, training, 0.01, 1e-3), 0.01)
    return F.conv_transpose2d(x, w3, b3, stride=2)[:, :, :28, :28].tanh()


def plain_alignment(guesses, labels, distributions):
    """The paper's formula, written out.

    Args:
        guesses: class probabilities of a batch, (N, classes).
        labels: of a batch.
        distributions: averages of labels and of guesses, uniform at first; they are updated.
    """
    num_classes = guesses.shape[1]
    counts = torch.tensor([(labels == label).sum() for label in range(num_classes)])
    for index, frequencies in enumerate((counts / len(labels), guesses.sum(0) / len(guesses))):
        distributions[index] = 0.98 * distributions[index] + 0.02 * frequencies
    scaled = guesses * (distributions[0] + 1e-6) / (distributions[1] + 1e-6)
    return scaled / scaled.sum(1, keepdim=True)
