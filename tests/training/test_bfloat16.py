import json

import pytest
import torch
from torch import nn

from sgan_lab import losses
from sgan_lab.algorithms.improved_sgan import ImprovedSGAN
from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.errors import ConfigError
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.networks.layers import SameConvTranspose2d
from sgan_lab.networks.registry import make_discriminator
from sgan_lab.training.bfloat16 import BFloat16, MatrixConvTranspose2d, check_bfloat16
from tests.builders import digits, make_data
from tests.steps import cut, make_sgan, train_here

BF16, FLOAT32 = "trainer.precision=bf16", "trainer.precision=32-true"


@pytest.fixture
def has_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


@pytest.mark.parametrize("size", [(14, 14), (13, 10), (4, 7)])
def test_transposed_convolution_as_matrix_products(size):
    layer = SameConvTranspose2d(5, 16, size).double()
    images = torch.randn(3, 5, *((side + 1) // 2 for side in size)).double().requires_grad_()
    outputs = MatrixConvTranspose2d.apply(images, layer.weight, size) + layer.bias.view(-1, 1, 1)
    torch.testing.assert_close(outputs, layer(images))
    gradient, inputs = torch.randn_like(outputs), [images, *layer.parameters()]
    gradients = [torch.autograd.grad(each, inputs, gradient) for each in (outputs, layer(images))]
    torch.testing.assert_close(*gradients)


def check_gradients(module, loss, least):
    """Gradients of a loss in bfloat16 have at least this cosine with those in float32."""
    plugin = BFloat16()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # each precision draws its own
    plugin.convert_module(module)
    gradients, kinds = [], set()
    module.apply(lambda layer: layer.register_forward_hook(lambda *each: kinds.add(each[2].dtype)))
    for context in (plugin.val_step_context, plugin.train_step_context):
        kinds.clear()
        module.zero_grad()
        torch.manual_seed(0)
        with context():
            value = loss()
        value.backward()
        # The biases before batch normalization have no gradients but roundings.
        gradients.append([weight.grad for weight in module.parameters() if weight.dim() > 1])
    assert kinds == {torch.float32, torch.bfloat16}
    for expected, ours in zip(*gradients, strict=True):
        assert ours.dtype == torch.float32
        assert torch.cosine_similarity(ours.flatten(), expected.flatten(), 0) > least
        assert not torch.equal(ours, expected)


@pytest.mark.parametrize("discriminator", ["strided", "pooling"])
def test_gradients_are_near_those_of_float32(discriminator):
    sgan = make_sgan(discriminator=discriminator)
    noise = sgan.noise(8)
    check_gradients(
        sgan, lambda: losses.real_loss(sgan.discriminator(sgan.generator(noise))), least=0.97
    )


@pytest.mark.parametrize("discriminator", ["wide_pooling", "wide_resnet", "conv13", "resnet18"])
def test_gradients_of_networks_for_photos_are_near_those_of_float32(discriminator):
    torch.manual_seed(0)
    network = make_discriminator(discriminator, (3, 32, 32), num_classes=4)
    images, labels = torch.rand(16, 3, 32, 32) * 2 - 1, torch.arange(16) % 4
    module = nn.ModuleDict({"discriminator": network})
    check_gradients(module, lambda: losses.class_loss(network(images), labels), least=0.85)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [(SGAN, {}), (ImprovedSGAN, {"joint_update": True, "feature_matching": True})],
)
def test_a_step_moves_float32_weights(algorithm, settings):
    sgan, plugin = make_sgan(algorithm, **settings), BFloat16()
    plugin.convert_module(sgan)
    before = {name: weight.clone() for name, weight in sgan.state_dict().items()}
    with plugin.train_step_context():
        for batch in sgan.batches(make_data(), 2):
            values = sgan.training_step(batch, 0)
    assert {value.dtype for value in values.values()} == {torch.float32}
    assert {weight.dtype for weight in sgan.parameters()} == {torch.float32}
    assert sgan.state_dict().keys() == before.keys()
    assert not any(torch.equal(before[name], weight) for name, weight in sgan.named_parameters())
    for optimizer in sgan.trainer.optimizers:
        for state in optimizer.state.values():
            assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == torch.float32


@pytest.mark.usefixtures("has_bfloat16")
@pytest.mark.parametrize("model", [["model.generator_channels=32"], ["model=mean_teacher"]])
def test_a_run_is_resumed_bit_for_bit_and_tested_in_float32(tmp_path, model):
    whole, settings = tmp_path / "whole", [*model, "iterations=12", "sample_interval=6"]
    metrics = train_here(whole, *settings, BF16)
    cut_short = cut(whole, tmp_path / "cut", 6)
    train_here(cut_short, *settings, BF16)
    train_here(tmp_path / "float32", *settings, FLOAT32)
    folders = (whole, cut_short, tmp_path / "float32")
    ended, resumed, in_float32 = (
        torch.load(each / "checkpoints" / "iteration-12.ckpt", weights_only=True)
        for each in folders
    )
    assert ended["optimizer_states"]
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(resumed[key], ended[key], rtol=0, atol=0)
    weights = ended["state_dict"], in_float32["state_dict"]
    assert not torch.equal(*(each["discriminator.layers.0.weight"] for each in weights))

    data = digits(num_labeled=None, labeled_split="first", batch_size=8).test
    logits = load_classifier(whole / "checkpoints" / "iteration-12.ckpt").logits(data.images)
    accuracy = (logits.argmax(1) == data.labels).double().mean().item()
    assert json.loads((whole / "metrics.json").read_text()) == metrics
    assert metrics["test_accuracy"] == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.usefixtures("has_bfloat16")
def test_the_baseline_learns_nearly_the_same_weights(tmp_path):
    weights = []
    for precision in (BF16, FLOAT32):
        train_here(tmp_path / precision, "model=supervised", "model.epochs=1", precision)
        (checkpoint,) = (tmp_path / precision / "checkpoints").glob("iteration-*.ckpt")
        weights.append(torch.load(checkpoint, weights_only=True)["state_dict"])
    name = "discriminator.layers.0.weight"
    assert not torch.equal(weights[0][name], weights[1][name])
    torch.testing.assert_close(*weights, rtol=1e-3, atol=0.01)


def test_what_cannot_train_in_bfloat16_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match=r"trainer.precision=bf16: needs a CPU with AVX512-BF16"):
        train_here(tmp_path, BF16)
    with pytest.raises(ConfigError, match=r"is not for VAT, .* rounds away; give 32-true"):
        train_here(tmp_path, "model=vat", BF16)
    with pytest.raises(ConfigError, match="is not for weight-normalized networks, such as mlp"):
        train_here(tmp_path, "model=supervised", "model.discriminator=mlp", BF16)
    assert not (tmp_path / "checkpoints").exists()
    with pytest.raises(ConfigError, match=r"is for CPUs; trainer.precision=bf16-mixed is for GPUs"):
        check_bfloat16(make_sgan(), torch.device("cuda"))
