import torch

from sgan_lab.algorithms.margin_gan import MarginGAN
from tests.builders import make_data
from tests.plain import discriminate, generate, plain_adam
from tests.steps import make_sgan

THRESHOLD = 0.14


def test_iterations_are_the_papers():
    """Float64, equal draws: the module and an independent loop agree after five iterations."""
    module = make_sgan(MarginGAN, threshold=THRESHOLD).double()
    with torch.no_grad():  # so that images differ in how confident the classifier is
        module.discriminator.layers[-1].weight *= 3
    networks = [
        [weight.detach().clone().requires_grad_() for weight in network.parameters()]
        for network in (module.discriminator, module.critic, module.generator)
    ]
    classifier, critic, generator = networks
    averages = [buffer.clone() for buffer in module.generator.buffers()]
    moments = [{}, {}, {}]

    def update(index, loss, rate):
        gradients = torch.autograd.grad(loss, networks[index])
        with torch.no_grad():
            plain_adam(networks[index], gradients, moments[index], rate)

    torch.set_default_dtype(torch.float64)
    try:
        batches = [
            batch._make(x.double() if x.is_floating_point() else x for x in batch)
            for batch in module.batches(make_data(), 5)
        ]
        torch.manual_seed(5)
        found = [module.training_step(batch, 0) for batch in batches]
        torch.manual_seed(5)
        num_confident = 0
        for batch, values in zip(batches, found, strict=True):
            fakes = generate(generator, averages, torch.randn(8, 100), training=True)
            x = torch.cat([batch.labeled_images, batch.unlabeled_images, fakes.detach()])

            p = discriminate(classifier, x).softmax(1)
            class_loss = -p[range(8), batch.labels].log().mean()
            confident = [row.max() for row in p[8:16] if row.max() > THRESHOLD]
            num_confident += len(confident)
            pseudo_loss = -sum(each.log() for each in confident) / 8
            inverted_loss = -(1 - p[16:].max(1).values).log().mean()
            update(0, class_loss + pseudo_loss + inverted_loss, 3e-4)

            real = discriminate(critic, x).sigmoid()
            of_critic = [-real[:8].log(), -real[8:16].log(), -(1 - real[16:]).log()]
            update(1, sum(each.mean() for each in of_critic), 1e-3)

            margin_loss = -discriminate(classifier, fakes).softmax(1).max(1).values.log().mean()
            generator_loss = margin_loss - discriminate(critic, fakes).sigmoid().log().mean()
            update(2, generator_loss, 2e-3)

            for name, expected in {
                "labeled/class_loss": class_loss,
                "labeled/accuracy": (p[:8].argmax(1) == batch.labels).double().mean(),
                "unlabeled/loss": pseudo_loss + inverted_loss,
                "unlabeled/real_loss": torch.cat(of_critic[:2]).mean(),
                "unlabeled/fake_loss": of_critic[2].mean(),
                "generator/loss": generator_loss,
            }.items():
                torch.testing.assert_close(values[name].double(), expected.detach())
    finally:
        torch.set_default_dtype(torch.float32)
    assert 0 < num_confident < 5 * 8
    for network, weights in zip(
        (module.discriminator, module.critic, module.generator), networks, strict=True
    ):
        for ours, expected in zip(network.parameters(), weights, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)
    for ours, expected in zip(module.generator.buffers(), averages, strict=True):
        if ours.is_floating_point():
            torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)


def test_the_generators_step_computes_no_gradients_of_the_other_networks():
    module = make_sgan(MarginGAN, threshold=THRESHOLD)
    module.generator_step(module.generator(module.noise(8)))
    others = [*module.discriminator.parameters(), *module.critic.parameters()]
    assert all(weight.grad is None for weight in others)
