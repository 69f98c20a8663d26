"""The training loop against a plain one: `python benchmarks/loop.py`.

`plain` is the tutorial's loop in the simplest PyTorch; `bare` is the package's SGAN without
Lightning, Hydra and logging; `run` is `python -m sgan_lab.run` with all of them, and `bf16` the
same with `trainer.precision=bf16`. Each is a process of its own; they take turns, in the opposite
order every other round, and only ratios within a round count, since machines are noisy. With
`--device cuda` all are on a GPU but `bf16`, which is left out, and `bare` and `run` record their
steps. Needs MNIST in the folder that SGAN_LAB_DATA names, or in data/.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

if TYPE_CHECKING:
    from sgan_lab.data.containers import SemiSupervisedData

ROOT = Path(__file__).parent.parent
DATA = os.environ.get("SGAN_LAB_DATA", "data")
IMPORTS = """
import torch, pytorch_lightning
from torchvision.datasets import MNIST
for is_train in (True, False): MNIST({data!r}, train=is_train)
"""


class Crop(nn.Module):
    """The upper left pixels of an image."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, height, width) to (N, channels, size, size)."""
        return images[:, :, : self.size, : self.size]


def plain_generator() -> nn.Sequential:
    """The tutorial's generator, for 28x28 pixels; weights as torch draws them."""
    return nn.Sequential(
        nn.Linear(100, 256 * 7 * 7),
        nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 128, 3, stride=2),
        Crop(14),
        nn.BatchNorm2d(128, eps=1e-3, momentum=0.01),
        nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(128, 64, 3, padding=1),
        nn.BatchNorm2d(64, eps=1e-3, momentum=0.01),
        nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(64, 1, 3, stride=2),
        Crop(28),
        nn.Tanh(),
    )


def plain_discriminator() -> nn.Sequential:
    """The tutorial's discriminator, for 28x28 pixels and ten classes."""
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(1, 32, 3, stride=2),
        nn.LeakyReLU(0.01),
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(32, 64, 3, stride=2),
        nn.LeakyReLU(0.01),
        nn.ZeroPad2d((1, 1, 1, 1)),
        nn.Conv2d(64, 128, 3, stride=2),
        nn.LeakyReLU(0.01),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(2048, 10),
    )


def plain_loop(
    generator: nn.Module, discriminator: nn.Module, images: Tensor, labels: Tensor, batch: int = 32
) -> Iterator[None]:
    """The tutorial's iterations without end, one for each `next`.

    Args:
        generator: noise (N, 100) to images.
        discriminator: images to class logits.
        images: bytes (N, 1, 28, 28), of which the first len(labels) are the labeled ones.
        labels: of the labeled images.
        batch: images a batch.

    All are on one device.
    """
    labeled_adam = torch.optim.Adam(discriminator.parameters(), lr=3e-4, eps=1e-7)
    unlabeled_adam = torch.optim.Adam(discriminator.parameters(), lr=1e-3, eps=1e-7)
    generator_adam = torch.optim.Adam(generator.parameters(), lr=1e-3, eps=1e-7)
    dtype, device = next(generator.parameters()).dtype, images.device
    while True:
        chosen = torch.randint(len(labels), (batch,), device=device)
        chosen_unlabeled = torch.randint(len(labels), len(images), (batch,), device=device)
        labeled_images = images[chosen].to(dtype) / 127.5 - 1
        unlabeled_images = images[chosen_unlabeled].to(dtype) / 127.5 - 1
        generator.eval()
        with torch.no_grad():
            fake_images = generator(torch.randn(batch, 100, dtype=dtype, device=device))
        generator.train()

        labeled_adam.zero_grad()
        F.cross_entropy(discriminator(labeled_images), labels[chosen]).backward()
        labeled_adam.step()

        unlabeled_adam.zero_grad()
        F.softplus(-discriminator(unlabeled_images).logsumexp(1)).mean().backward()
        unlabeled_adam.step()

        unlabeled_adam.zero_grad()
        F.softplus(discriminator(fake_images).logsumexp(1)).mean().backward()
        unlabeled_adam.step()

        generator_adam.zero_grad()
        fake_images = generator(torch.randn(batch, 100, dtype=dtype, device=device))
        F.softplus(-discriminator(fake_images).logsumexp(1)).mean().backward()
        generator_adam.step()
        yield


def plain(device: torch.device) -> Iterator[None]:
    """The plain loop on MNIST with 100 labels."""
    from torchvision.datasets import MNIST

    data = MNIST(DATA, train=True)
    images, labels = data.data.unsqueeze(1).to(device), data.targets[:100].to(device)
    return plain_loop(
        plain_generator().to(device), plain_discriminator().to(device), images, labels
    )


def sgan_loop(data: "SemiSupervisedData") -> Iterator[None]:
    """The iterations of the package's SGAN without end, its training step called in a loop."""
    from sgan_lab.algorithms.sgan import SGAN
    from sgan_lab.data.batches import SemiSupervisedBatches
    from sgan_lab.training.cuda_graph import Recorded

    device = data.unlabeled_images.device
    sgan = SGAN(data.image_shape, data.class_names, 0, 3e-4, 1e-3, 1e-3).to(device)
    optimizers = sgan.configure_optimizers()
    sgan.labeled_optimizer, sgan.unlabeled_optimizer, sgan.generator_optimizer = optimizers
    sgan.manual_backward = Tensor.backward
    batches, step = SemiSupervisedBatches(data, sys.maxsize), sgan.training_step
    if device.type == "cuda":
        batches.draw = Recorded(batches.draw)
        step = Recorded(step, optimizers)
    for batch in batches:
        step(batch, 0)
        yield


def bare(device: torch.device) -> Iterator[None]:
    """The package's SGAN on the same data."""
    from sgan_lab.data.load import load

    data = load("MNIST", DATA, num_labeled=100, labeled_split="first", batch_size=32)
    return sgan_loop(data.to(device))


LOOPS: dict[str, Callable[[torch.device], Iterator[None]]] = {"plain": plain, "bare": bare}
WARM_UP = 5  # iterations


def time_loop(name: str, iterations: int, threads: int, device: torch.device) -> float:
    """Iterations per second of a loop in this process."""
    torch.set_num_threads(threads)
    loop = LOOPS[name](device)

    def run(count: int) -> None:
        for _ in range(count):
            next(loop)
        if device.type == "cuda":
            torch.cuda.synchronize()

    run(WARM_UP)
    started = time.perf_counter()
    run(iterations)
    return iterations / (time.perf_counter() - started)


class Child(NamedTuple):
    """What a process has printed, and what it took.

    Attributes:
        output: what it printed.
        seconds: from its start to its end.
        peak: largest resident size in MiB.
    """

    output: str
    seconds: float
    peak: float


def run_child(*arguments: object) -> Child:
    """Run Python with some arguments from the root of the repository, and wait for it."""
    started = time.perf_counter()
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed.")
    return Child(output, time.perf_counter() - started, usage.ru_maxrss / 1024)


def measure(name: str, iterations: int, threads: int, device: str) -> dict[str, float]:
    """Speed (iterations/s) and peak resident size (MiB) of a loop in a process of its own."""
    if name in LOOPS:
        options = {"only": name, "iterations": iterations, "threads": threads, "device": device}
        child = run_child(__file__, *(f"--{key}={value}" for key, value in options.items()))
        return {"speed": float(child.output), "memory": child.peak}
    with tempfile.TemporaryDirectory() as folder:
        arguments = run_arguments(folder, iterations, threads, device)
        arguments += ["trainer.precision=bf16"] if name == "bf16" else []
        child = run_child("-m", "sgan_lab.run", *arguments)
        metrics = json.loads((Path(folder) / "run/metrics.json").read_text())
    return {"speed": metrics["iterations_per_second"], "memory": child.peak}


def run_arguments(
    folder: str, iterations: int, threads: int, device: str, interval: int = 800
) -> list[str]:
    """The command line of `run`, which leaves its results in `folder`/run."""
    return [
        f"hydra.run.dir={folder}/run",
        f"data.root={DATA}",
        f"iterations={iterations}",
        f"sample_interval={interval}",
        f"num_threads={threads}",
        f"trainer={'gpu' if device == 'cuda' else device}",
    ]


def measure_start(threads: int, device: str) -> dict[str, float]:
    """Seconds until `run` has made its first iteration, and those of imports and data alone."""
    imports = run_child("-c", IMPORTS.format(data=DATA)).seconds
    with tempfile.TemporaryDirectory() as folder:
        started = datetime.now()
        run_child("-m", "sgan_lab.run", *run_arguments(folder, 1, threads, device, interval=1))
        log = (Path(folder) / "run/run.log").read_text()
    first = next(line for line in log.splitlines() if "class loss" in line)
    logged = datetime.strptime(first[1:24], "%Y-%m-%d %H:%M:%S,%f")
    return {"imports and data": imports, "run": (logged - started).total_seconds()}


def compare(rounds: int, iterations: int, threads: int, device: str) -> pd.DataFrame:
    """Measure all in turns; the ratios of their speeds within each round."""
    names = ["plain", "bare", "run", *(["bf16"] if device == "cpu" else [])]
    rows = []
    for round_ in range(rounds):
        results = {}
        for name in names if round_ % 2 == 0 else reversed(names):
            results[name] = measure(name, iterations, threads, device)
            speed, memory = results[name].values()
            print(f"round {round_ + 1}: {name:5} {speed:6.2f} it/s, {memory:5.0f} MiB", flush=True)
        start = measure_start(threads, device)
        speed = {name: results[name]["speed"] for name in names}
        ratio = {"speed, bf16 / run": speed["bf16"] / speed["run"]} if "bf16" in speed else {}
        rows.append(
            ratio
            | {
                "plain, it/s": speed["plain"],
                "run, it/s": speed["run"],
                "speed, bare / plain": speed["bare"] / speed["plain"],
                "speed, run / plain": speed["run"] / speed["plain"],
                "speed, run / bare": speed["run"] / speed["bare"],
                "memory, run / plain": results["run"]["memory"] / results["plain"]["memory"],
                "start, run / imports and data": start["run"] / start["imports and data"],
            }
        )
    return pd.DataFrame(rows).agg(["median", "min", "max"]).T


def print_operators(name: str, iterations: int, threads: int) -> None:
    """Print where a loop's time on the CPU goes, by operator and shapes."""
    torch.set_num_threads(threads)
    loop = LOOPS[name](torch.device("cpu"))
    for _ in range(WARM_UP):
        next(loop)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(iterations):
            next(loop)
    events = sorted(
        profiler.key_averages(group_by_input_shape=True), key=lambda e: -e.self_cpu_time_total
    )
    total = sum(event.self_cpu_time_total for event in events)
    print(f"\n{name}: {total / iterations / 1e3:.1f} ms an iteration")
    for event in events[:20]:
        shapes = " ".join("x".join(map(str, shape)) for shape in event.input_shapes if shape)
        milliseconds = event.self_cpu_time_total / iterations / 1e3
        print(f"{milliseconds:7.2f} ms {milliseconds * iterations * 1e5 / total:5.1f} %", end="  ")
        print(
            f"{event.count // iterations:3d} {event.key.removeprefix('aten::'):28.28} {shapes:.60}"
        )


def main() -> None:
    """Print the table, or what `--only` and `--profile` ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured")
    parser.add_argument("--iterations", type=int, default=200, help="iterations each time")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of all")
    parser.add_argument("--profile", action="store_true", help="CPU time by operator instead")
    parser.add_argument("--only", choices=LOOPS, help="print the iterations/s of one loop")
    arguments = parser.parse_args()
    if arguments.only:
        device = torch.device(arguments.device)
        print(time_loop(arguments.only, arguments.iterations, arguments.threads, device))
    elif arguments.profile:
        for name in LOOPS:
            print_operators(name, arguments.iterations, arguments.threads)
    else:
        table = compare(arguments.rounds, arguments.iterations, arguments.threads, arguments.device)
        print(table.to_markdown(floatfmt=".2f"))


if __name__ == "__main__":
    main()
