import shutil
import sys
import warnings

import pytest
import torch

from sgan_lab import cli
from sgan_lab.algorithms.supervised import Supervised
from sgan_lab.data.containers import scale
from sgan_lab.errors import DataError
from sgan_lab.evaluation.checkpoint_files import checkpoints
from sgan_lab.evaluation.checksums import checksum_file, sha256
from sgan_lab.evaluation.classifier import load_classifier
from sgan_lab.jobs.status import read_status
from sgan_lab.networks.registry import DISCRIMINATORS, make_discriminator
from tests.builders import digits

SHAPES = {"image_shape": [1, 28, 28], "class_names": ["a", "b"]}


class Hostile:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_the_classifier_is_the_checkpoints_in_inference_mode(checkpoint):
    classifier = load_classifier(checkpoint)
    assert classifier.image_shape == (1, 28, 28)
    assert classifier.class_names == [str(label) for label in range(10)]
    trained = Supervised.load_from_checkpoint(checkpoint, weights_only=True).eval()
    images = scale(digits(100, "first", 32).test.images[:5])
    assert torch.equal(classifier.network(images), trained(images))


def test_the_network_is_found_by_its_name(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    for name in DISCRIMINATORS:
        network = make_discriminator(name, (1, 28, 28), 10)
        weights = network.state_dict()
        content["hyper_parameters"]["discriminator"] = name
        content["state_dict"] = {f"discriminator.{key}": each for key, each in weights.items()}
        torch.save(content, tmp_path / "x.ckpt")
        classifier = load_classifier(tmp_path / "x.ckpt")
        assert type(classifier.network) is type(network)
        assert classifier.discriminator == name
        assert not classifier.network.training


def test_a_running_average_is_the_classifier(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    weights = content["state_dict"]
    average = {
        key.replace("discriminator.", "averaged_discriminator.module."): torch.zeros_like(each)
        for key, each in weights.items()
        if key.startswith("discriminator.")
    }
    torch.save(content | {"state_dict": weights | average}, tmp_path / "x.ckpt")
    assert not any(map(torch.any, load_classifier(tmp_path / "x.ckpt").network.parameters()))


def test_a_checkpoint_without_the_name_is_of_another_version(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    del content["hyper_parameters"]["discriminator"]
    torch.save(content, tmp_path / "x.ckpt")
    expected = "no readable checkpoint of this version of sgan_lab: discriminator=None is none of"
    with pytest.raises(DataError, match=expected):
        load_classifier(tmp_path / "x.ckpt")


def test_what_is_no_checkpoint_is_named_and_runs_no_code(tmp_path):
    trace = tmp_path / "trace"
    contents = {
        "hostile": {"state_dict": Hostile(trace)},
        "empty": {"state_dict": {}},
        "list": [1],
        "tensor": torch.zeros(2, 2),
        "shape": {"hyper_parameters": {"image_shape": [8, 8], "class_names": []}},
        "network": {"hyper_parameters": SHAPES | {"discriminator": "other"}, "state_dict": {}},
        "weights": {"hyper_parameters": SHAPES | {"discriminator": "mlp"}, "state_dict": {}},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.ckpt")
    whole = (tmp_path / "empty.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[:100])
    for name in (*contents, "cut", "absent"):
        with pytest.raises(DataError, match=f"{name}.ckpt is no readable checkpoint") as caught:
            load_classifier(tmp_path / f"{name}.ckpt")
        assert "weights_only` set to `False`" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    "command", ["evaluate", "predict", "suggest", "generate", "export", "train"]
)
def test_no_command_runs_a_checkpoints_code(baseline_run, tmp_path, monkeypatch, command):
    run, trace = tmp_path / "run", tmp_path / "trace"
    shutil.copytree(baseline_run, run)
    path = checkpoints(run / "checkpoints")[0]
    torch.save({"state_dict": Hostile(trace)}, path)
    checksum_file(path).write_text(f"{sha256(path)}  {path.name}\n")
    options = {"predict": [tmp_path], "suggest": [tmp_path], "export": ["--format", "safetensors"]}
    arguments = (
        [f"resume={run}", "model.epochs=6"]
        if command == "train"
        else [path, *options.get(command, [])]
    )
    monkeypatch.setattr(sys, "argv", ["sgan-lab", command, *map(str, arguments)])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which training sets; as it was, afterwards
    with pytest.raises(SystemExit, match=f"{path.name} is no readable checkpoint"):
        cli.main()
    assert not trace.exists()
    if command == "train":
        assert read_status(run).state == "failed"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
def test_exported_torchscript_is_no_checkpoint(tmp_path):
    path = tmp_path / "exported.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)), str(path))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match="TorchScript"):
            load_classifier(path)
    assert not [warning for warning in shown if "dispatching" in str(warning.message)]
