"""The SGAN on one GPU, a table in under ten minutes: `python benchmarks/gpu.py`.

Compared are one SGAN, its iterations recorded as CUDA graphs or not, in float32 and bfloat16; five
seeds in processes of their own, also under NVIDIA's MPS; and five seeds stacked in one process,
whose networks torch.func runs as one. `--device cpu --smoke` shows in a minute that all works.

With `--keep FOLDER` long runs are trained instead, for as long as a GPU is there: each `--run` is
started, or resumed from its checkpoint in the folder, and interrupted after some minutes.

    python benchmarks/gpu.py --keep long --run "experiment=feature_matching seed=0"

Needs MNIST in the folder that SGAN_LAB_DATA names, or in data/.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from loop import DATA, ROOT, WARM_UP, plain_discriminator, plain_generator, run_arguments, time_loop
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from sgan_lab.training.cuda_graph import Recorded

SEEDS = 5
MPS = "nvidia-cuda-mps-control"


class Stacked:
    """Networks of one kind that differ in their weights, run as one.

    Args:
        networks: on one device.

    Attributes:
        weights: of all networks by name, (networks, *shape).
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.weights, self.buffers = stack_module_state(list(networks))
        self.skeleton = networks[0]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Inputs (networks, N, ...) to outputs (networks, N, ...)."""

        def outputs(weights: dict[str, Tensor], buffers: dict[str, Tensor], one: Tensor) -> Tensor:
            return functional_call(self.skeleton, (weights, buffers), (one,))

        return vmap(outputs, randomness="different")(self.weights, self.buffers, inputs)

    def adam(self, learning_rate: float) -> torch.optim.Optimizer:
        """Adam for the weights of all networks; each moves as if it were alone."""
        return torch.optim.Adam(self.weights.values(), lr=learning_rate, eps=1e-7, fused=True)


def stacked_loop(
    generators: Stacked,
    discriminators: Stacked,
    images: Tensor,
    labels: Tensor,
    batch: int = 32,
    is_recorded: bool = False,
) -> Iterator[None]:
    """The iterations of `loop.plain_loop` for several seeds at once, without end.

    Args:
        generators: of the seeds.
        discriminators: of the seeds.
        images: bytes (N, 1, 28, 28), of which the first len(labels) are the labeled ones.
        labels: of the labeled images.
        batch: images a batch, of each seed.
        is_recorded: whether iterations are recorded as a CUDA graph.
    """
    weight = next(iter(generators.weights.values()))
    seeds, options = len(weight), {"dtype": weight.dtype, "device": weight.device}
    labeled_adam, unlabeled_adam = discriminators.adam(3e-4), discriminators.adam(1e-3)
    generator_adam = generators.adam(1e-3)

    def update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (seeds * loss).backward()  # losses are means over the seeds, too
        optimizer.step()

    def real_logits(images: Tensor) -> Tensor:
        return discriminators(images).logsumexp(-1)

    def iteration() -> None:
        chosen = torch.randint(len(labels), (seeds, batch), device=labels.device)
        unlabeled = torch.randint(len(labels), len(images), (seeds, batch), device=labels.device)
        labeled_images = images[chosen].to(weight.dtype) / 127.5 - 1
        unlabeled_images = images[unlabeled].to(weight.dtype) / 127.5 - 1
        generators.skeleton.eval()
        with torch.no_grad():
            fake_images = generators(torch.randn(seeds, batch, 100, **options))
        generators.skeleton.train()
        logits = discriminators(labeled_images).flatten(0, 1)
        update(F.cross_entropy(logits, labels[chosen].flatten()), labeled_adam)
        update(F.softplus(-real_logits(unlabeled_images)).mean(), unlabeled_adam)
        update(F.softplus(real_logits(fake_images)).mean(), unlabeled_adam)
        fake_images = generators(torch.randn(seeds, batch, 100, **options))
        update(F.softplus(-real_logits(fake_images)).mean(), generator_adam)

    optimizers = (labeled_adam, unlabeled_adam, generator_adam)
    step = Recorded(iteration, optimizers) if is_recorded else iteration
    while True:
        step()
        yield


def time_stacked(seeds: int, iterations: int, device: torch.device, is_recorded: bool) -> float:
    """Iterations a second of several seeds stacked in this process, on MNIST with 100 labels."""
    from torchvision.datasets import MNIST

    data = MNIST(DATA, train=True)
    images, labels = data.data.unsqueeze(1).to(device), data.targets[:100].to(device)
    generators, discriminators = (
        Stacked([make().to(device) for _ in range(seeds)])
        for make in (plain_generator, plain_discriminator)
    )
    loop = stacked_loop(generators, discriminators, images, labels, is_recorded=is_recorded)
    for count in (WARM_UP, iterations):
        started = time.perf_counter()
        for _ in range(count):
            next(loop)
        if device.type == "cuda":
            torch.cuda.synchronize()
    return iterations / (time.perf_counter() - started)


@contextmanager
def multi_process_service() -> Iterator[None]:
    """NVIDIA's MPS, for the processes that start within; the one that is there, if one is."""
    if "CUDA_MPS_PIPE_DIRECTORY" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        places = {f"CUDA_MPS_{kind}_DIRECTORY": folder for kind in ("PIPE", "LOG")}
        os.environ.update(places)
        subprocess.run([MPS, "-d"], check=True)
        try:
            yield
        finally:
            subprocess.run([MPS], input="quit\n", text=True, check=False)
            for name in places:
                del os.environ[name]


def run_speeds(count: int, iterations: int, device: str, *overrides: str) -> list[float]:
    """Iterations a second of runs of the command line, all at once; none where one has failed."""
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for seed in range(count):
            place = Path(folder, str(seed))
            arguments = [*run_arguments(str(place), iterations, 1, device), f"seed={seed}"]
            command = [sys.executable, "-m", "sgan_lab.run", *arguments, *overrides]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            processes.append((process, place / "run/metrics.json"))
        codes = [process.wait() for process, _ in processes]
        if any(codes):
            return []
        results = [json.loads(metrics.read_text()) for _, metrics in processes]
    return [result["iterations_per_second"] for result in results]


def table(device: str, is_smoke: bool) -> pd.DataFrame:
    """Iterations a second of each seed and of all seeds together, by how they are run."""
    place = torch.device(device)
    seeds, few, many = (2, 6, 6) if is_smoke else (SEEDS, 400, 4000)
    rows: dict[str, dict[str, float | None]] = {}

    def measured(name: str, speeds: Sequence[float]) -> None:
        rows[name] = {"it/s of the slowest": min(speeds, default=None), "it/s of all": sum(speeds)}
        print(name, *(f"{speed:.1f}" for speed in speeds), flush=True)

    measured("plain loop", [time_loop("plain", few, 1, place)])
    measured("run, not recorded", run_speeds(1, few, device, "cuda_graph=false"))
    if device == "cuda":
        mixed = "trainer.precision=bf16-mixed"
        measured("run, recorded", run_speeds(1, many, device))
        measured(
            "run, bf16-mixed, not recorded", run_speeds(1, few, device, mixed, "cuda_graph=false")
        )
        measured("run, bf16-mixed, recorded", run_speeds(1, many, device, mixed))
    measured(f"{seeds} seeds stacked", [time_stacked(seeds, few, place, False)] * seeds)
    if device == "cuda":
        stacked = time_stacked(seeds, many, place, True)
        measured(f"{seeds} seeds stacked, recorded", [stacked] * seeds)
    measured(f"{seeds} runs at once", run_speeds(seeds, many, device))
    if shutil.which(MPS):
        with multi_process_service():
            measured(f"{seeds} runs at once, MPS", run_speeds(seeds, many, device))
    return pd.DataFrame(rows).T


def train_on(keep: Path, runs: Sequence[str], minutes: float) -> None:
    """Start runs, or resume those that are in a folder, all at once, and interrupt them in time.

    The test errors of those that have ended are printed.

    Args:
        keep: the folder, with a run folder for each; to be given again next time.
        runs: the overrides of each run.
        minutes: after which they are interrupted; each writes a checkpoint.
    """
    end = time.monotonic() + 60 * minutes
    with ExitStack() as stack:
        if shutil.which(MPS):
            stack.enter_context(multi_process_service())
        processes, folders = [], []
        for overrides in runs:
            folder = keep.absolute() / "".join(c if c.isalnum() else "_" for c in overrides)
            arguments = [*shlex.split(overrides), f"hydra.run.dir={folder}"]
            if (folder / "config.yaml").exists():
                arguments = [f"resume={folder}"]
            command = [sys.executable, "-m", "sgan_lab.run", *arguments]
            processes.append(subprocess.Popen(command, cwd=ROOT))
            folders.append(folder)
        while time.monotonic() < end and any(each.poll() is None for each in processes):
            time.sleep(1)
        for process in processes:
            process.terminate()  # a run writes its checkpoint
        for process in processes:
            process.wait()
    for overrides, folder in zip(runs, folders, strict=True):
        metrics = folder / "metrics.json"
        result = json.loads(metrics.read_text()) if metrics.exists() else {}
        print(overrides, result.get("test_errors", "not at its end"), "errors")


def main() -> None:
    """Print the table, or train what is to be kept."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="of all")
    parser.add_argument("--smoke", action="store_true", help="a few iterations of each, two seeds")
    parser.add_argument("--keep", type=Path, help="folder of long runs to start or resume")
    parser.add_argument("--run", action="append", default=[], help="overrides of a long run")
    parser.add_argument("--minutes", type=float, default=12, help="that long runs train")
    arguments = parser.parse_args()
    if arguments.keep:
        train_on(arguments.keep, arguments.run, arguments.minutes)
    else:
        print(table(arguments.device, arguments.smoke).to_markdown(floatfmt=".1f"))


if __name__ == "__main__":
    main()
