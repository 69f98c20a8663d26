import json
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, safe_open

import sgan_lab
from sgan_lab.errors import ExportError
from sgan_lab.evaluation.classifier import Classifier, load_classifier
from sgan_lab.evaluation.export import FORMATS, export, main
from sgan_lab.networks.registry import DISCRIMINATORS, make_discriminator

FORMAT_NAMES = ["safetensors", "onnx", "torchscript"]


def run_export(*arguments):
    command = [sys.executable, "-m", "sgan_lab", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def make_classifier(discriminator):
    """Color images with odd sides, so that the padding of height and width differ."""
    shape, names = (3, 12, 13), ["cat", "dog", "ä", "[x]"]
    network = make_discriminator(discriminator, shape, len(names)).eval()
    return Classifier(network, shape, names, discriminator, temperature=2.5)


@pytest.fixture
def classifier():
    return make_classifier("strided")


def run_file(file_format, path, images):
    """Metadata and logits of an exported file, read without this package's loaders."""
    if file_format == "safetensors":
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        shape = json.loads(metadata["image_shape"])
        names = json.loads(metadata["class_names"])
        network = make_discriminator(metadata["network"], shape, len(names)).eval()
        network.load_state_dict(load_file(path))
        return metadata, network(images) / float(metadata["temperature"])
    if file_format == "onnx":
        session = onnxruntime.InferenceSession(path)
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return session.get_modelmeta().custom_metadata_map, torch.from_numpy(logits)
    extra = {"image_shape": "", "class_names": "", "scaling": "", "background": ""}
    network = torch.jit.load(str(path), _extra_files=extra)
    return {key: value.decode() for key, value in extra.items()}, network(images)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
@pytest.mark.parametrize("file_format", FORMAT_NAMES)
def test_the_file_gives_the_same_logits_and_tells_what_to_feed_it(
    discriminator, file_format, tmp_path
):
    classifier = make_classifier(discriminator)
    path = tmp_path / "file"
    export(classifier, file_format, path)
    for size in (1, 3, 8):
        images = torch.rand(size, *classifier.image_shape) * 2 - 1
        metadata, logits = run_file(file_format, path, images)
        with torch.no_grad():
            expected = classifier.network(images) / 2.5
        torch.testing.assert_close(logits.detach(), expected, atol=1e-5, rtol=0)
    assert json.loads(metadata["image_shape"]) == [3, 12, 13]
    assert json.loads(metadata["class_names"]) == ["cat", "dog", "ä", "[x]"]
    assert metadata["scaling"] == "(byte - 127.5) / 127.5"
    assert metadata["background"] == "white"
    assert str(Path(sgan_lab.__file__).parent).encode() not in path.read_bytes()


@pytest.mark.parametrize("file_format", FORMAT_NAMES)
def test_the_command_writes_beside_the_checkpoint_and_never_over_a_file(
    checkpoint, file_format, tmp_path
):
    copy = tmp_path / "iteration.ckpt"
    copy.write_bytes(checkpoint.read_bytes())
    result = run_export(copy, "--format", file_format)
    output = copy.with_suffix(FORMATS[file_format].suffix)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"Written and checked: {output}\n"
    content = output.read_bytes()
    with pytest.raises(ExportError, match="already exists; name a new file with --output"):
        export(load_classifier(copy), file_format, output)
    assert output.read_bytes() == content


@pytest.mark.parametrize("file_format", FORMAT_NAMES)
def test_a_file_with_other_logits_is_deleted(classifier, file_format, tmp_path, monkeypatch):
    form = FORMATS[file_format]

    def write_damaged(original, path):
        form.write(make_classifier(original.discriminator), path)

    monkeypatch.setitem(FORMATS, file_format, form._replace(write=write_damaged))
    with pytest.raises(ExportError, match="other logits than the classifier"):
        export(classifier, file_format, tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("error", [1.0, float("nan")])
def test_a_file_that_is_wrong_for_one_batch_size_is_deleted(
    classifier, error, tmp_path, monkeypatch
):
    def load_wrong(_):
        return lambda images: (
            classifier.network(images) / 2.5 + (error if len(images) == 1 else 0.0)
        )

    form = FORMATS["torchscript"]._replace(load=load_wrong)
    monkeypatch.setitem(FORMATS, "torchscript", form)
    with pytest.raises(ExportError, match=f"by up to {error:.0f}"):
        export(classifier, "torchscript", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_file_that_its_runtime_refuses_is_one_message(classifier, tmp_path, monkeypatch):
    form = FORMATS["onnx"]._replace(write=lambda _, path: path.write_bytes(b"no model"))
    monkeypatch.setitem(FORMATS, "onnx", form)
    with pytest.raises(ExportError, match="cannot be written and run") as caught:
        export(classifier, "onnx", tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file").exists()


def test_errors_are_one_line(checkpoint, tmp_path, monkeypatch):
    def fail(output):
        arguments = ["export", str(checkpoint), "--format", "onnx", "--output", str(output)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(ExportError) as caught:
            main()
        return str(caught.value)

    message = fail(tmp_path / "absent" / "new.onnx")
    assert message.endswith("new.onnx cannot be written: No such file or directory.")
    assert "\n" not in message
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    message = fail(tmp_path / "new.onnx")
    assert message == "--format onnx needs onnxruntime: pip install 'sgan-lab[export]'"
    assert not (tmp_path / "new.onnx").exists()
