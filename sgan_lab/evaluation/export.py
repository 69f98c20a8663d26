"""Export a checkpoint's classifier for other programs.

The command is `sgan-lab export`. The file takes images, floats (N, channels, height, width) in
[-1, 1] with any N, and gives class logits (N, classes), with dropout and noise off. Their softmax
gives calibrated probabilities: they are divided by the classifier's temperature. A safetensors file
holds the weights only. The metadata name the image shape, the classes, the scaling, the color
behind transparent pixels and, in safetensors, the network and the temperature, by which its logits
are still to be divided. The file is loaded by its own runtime and compared with the classifier
before it is kept.
"""

import json
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sgan_lab.config.own import trusted
from sgan_lab.errors import ExportError, UserError, reason
from sgan_lab.evaluation.checkpoint_files import checkpoint_parser, find_checkpoint
from sgan_lab.evaluation.classifier import Classifier, load_classifier
from sgan_lab.networks.registry import make_discriminator

TOLERANCE = 1e-4  # of a logit, between the file's runtime and the classifier
EXAMPLE = """\
example:
  sgan-lab export outputs/<date>/<time> --format onnx --output classifier.onnx
"""
BATCH_SIZES = (4, 1)  # that are compared; exporters may take a batch of one for a constant


class Calibrated(nn.Module):
    """A classifier's network, its logits divided by the temperature."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        self.temperature = classifier.temperature

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) in [-1, 1] to logits (N, classes)."""
        return self.network(images) / self.temperature


def metadata(classifier: Classifier) -> dict[str, str]:
    """The metadata of a file; lists are JSON."""
    return {
        "image_shape": json.dumps(classifier.image_shape),
        "class_names": json.dumps(classifier.class_names),
        "scaling": "(byte - 127.5) / 127.5",
        "background": classifier.background,
    }


def write_safetensors(classifier: Classifier, path: Path) -> None:
    """Write the weights, by their names in the network."""
    from safetensors.torch import save

    state = classifier.network.state_dict()
    weights = {name: weight.contiguous() for name, weight in state.items()}
    network = {"network": classifier.discriminator, "temperature": str(classifier.temperature)}
    path.write_bytes(save(weights, metadata(classifier) | network))


def load_safetensors(path: Path) -> Callable[[Tensor], Tensor]:
    """Build the network of a file from its metadata."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework="pt") as file:
        content = file.metadata()
    shape, names = (json.loads(content[key]) for key in ("image_shape", "class_names"))
    network = make_discriminator(content["network"], shape, len(names)).eval()
    network.load_state_dict(load_file(path))
    return lambda images: network(images) / float(content["temperature"])


def write_onnx(classifier: Classifier, path: Path) -> None:
    """Write ONNX, input `images` and output `logits`."""
    program = torch.onnx.export(
        Calibrated(classifier).eval(),
        (torch.zeros(2, *classifier.image_shape),),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    for node in program.model.graph:
        node.metadata_props.clear()  # torch's stack traces, with this machine's folders
    program.model.metadata_props.update(metadata(classifier))
    program.save(path)


def load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a file in onnxruntime."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def write_torchscript(classifier: Classifier, path: Path) -> None:
    """Write TorchScript; the metadata are its extra files."""
    example = torch.zeros(2, *classifier.image_shape)
    traced = torch.jit.trace(Calibrated(classifier).eval(), example, check_trace=False)
    torch.jit.save(traced, str(path), _extra_files=metadata(classifier))


def load_torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    """Load a file in torch.jit."""
    return torch.jit.load(str(path))


class Format(NamedTuple):
    """A file format: its suffix, the packages it needs, and functions that write and load it."""

    suffix: str
    packages: list[str]
    write: Callable[[Classifier, Path], None]
    load: Callable[[Path], Callable[[Tensor], Tensor]]


FORMATS = {
    "safetensors": Format(".safetensors", ["safetensors"], write_safetensors, load_safetensors),
    "onnx": Format(".onnx", ["onnxscript", "onnxruntime"], write_onnx, load_onnx),
    "torchscript": Format(".pt", [], write_torchscript, load_torchscript),
}


@torch.inference_mode()
def export(classifier: Classifier, file_format: str, path: Path) -> None:
    """Write a classifier into a new file of a format of `FORMATS`, and check the file.

    Raises:
        ExportError: the file exists, cannot be written or run, or gives other logits than the
            classifier; or a package is missing. No new file is left.
    """
    form = FORMATS[file_format]
    try:
        for package in form.packages:
            import_module(package)
    except ImportError as error:
        needed = f"{error.name}: pip install 'sgan-lab[export]'"
        raise ExportError(f"--format {file_format} needs {needed}") from error
    try:
        path.touch(exist_ok=False)
    except FileExistsError as error:
        raise ExportError(f"{path} already exists; name a new file with --output.") from error
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with warnings.catch_warnings():
            # torch deprecates TorchScript, which other programs still read. It also warns that the
            # padding is traced as a constant, which it is for images of one size.
            warnings.filterwarnings("ignore", message="`torch.jit.*is deprecated")
            warnings.filterwarnings("ignore", message="Converting a tensor to a Python")
            form.write(classifier, path)
            check(form.load(path), classifier, path)
    except BaseException as error:
        path.unlink()
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        raise ExportError(
            f"{path} cannot be written and run ({reason(error)}); deleted."
        ) from error


def check(exported: Callable[[Tensor], Tensor], classifier: Classifier, path: Path) -> None:
    """Raise an ExportError where a logit of random images differs by more than `TOLERANCE`."""
    for size in BATCH_SIZES:
        images = torch.rand(size, *classifier.image_shape) * 2 - 1
        expected = classifier.network(images) / classifier.temperature
        difference = (exported(images) - expected).abs().max().item()
        if not difference <= TOLERANCE:  # also where it is not a number
            raise ExportError(
                f"{path} gave other logits than the classifier, by up to {difference:.2g}; deleted."
            )


def main() -> None:
    """Command line."""
    parser = checkpoint_parser(__doc__, EXAMPLE)
    parser.add_argument("--format", choices=FORMATS, required=True, help="of the file")
    parser.add_argument("--output", type=Path, help="new file; default: beside the checkpoint")
    arguments = parser.parse_args()
    checkpoint = find_checkpoint(arguments.checkpoint, arguments.which)
    output = arguments.output or checkpoint.with_suffix(FORMATS[arguments.format].suffix)
    export(load_classifier(checkpoint, trusted(arguments.trust)), arguments.format, output)
    print(f"Written and checked: {output}")
