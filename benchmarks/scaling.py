"""How the SGAN's speed depends on data, batch and neighbors: `python benchmarks/scaling.py`.

Random images, one thread a loop. Of everything that is compared, one iteration is made in turn, so
that a machine's moods meet all alike; of the times the medians count.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Hashable, Iterator
from pathlib import Path

import pandas as pd
import torch
from loop import sgan_loop

from sgan_lab.data.containers import LabeledImages, SemiSupervisedData

LOOP = Path(__file__).with_name("loop.py")
CLASSES = tuple("0123456789")


def random_loop(num_labeled: int, num_unlabeled: int, batch_size: int) -> Iterator[None]:
    """The SGAN's iterations without end on random 28x28 images."""
    labels = torch.randint(10, (num_labeled,))
    labeled = LabeledImages(random_images(num_labeled), labels)
    unlabeled_images = random_images(num_unlabeled)
    return sgan_loop(
        SemiSupervisedData(labeled, unlabeled_images, labeled, None, CLASSES, batch_size)
    )


def random_images(count: int) -> torch.Tensor:
    """Bytes (count, 1, 28, 28)."""
    return torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8)


def median_seconds(loops: dict[Hashable, Iterator[None]], rounds: int) -> dict[Hashable, float]:
    """Median seconds an iteration of each loop, one iteration of each in turn."""
    seconds = {name: [] for name in loops}
    for round_ in range(-2, rounds):  # two to warm up
        for name, loop in loops.items():
            started = time.perf_counter()
            next(loop)
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def data_table(rounds: int) -> pd.DataFrame:
    """Cost of an iteration by the numbers of images, relative to the tutorial's."""
    sizes = [(100, 59_900), (10_000, 50_000), (100, 999_900), (500_000, 500_000)]
    seconds = median_seconds({size: random_loop(*size, 32) for size in sizes}, rounds)
    return pd.DataFrame(
        [(*size, seconds[size] / seconds[sizes[0]]) for size in sizes],
        columns=["labeled", "unlabeled", "seconds an iteration, relative"],
    )


def batch_table(rounds: int) -> pd.DataFrame:
    """Unlabeled images a second by batch size, relative to batches of 32."""
    sizes = [32, 64, 128, 256, 512, 1024]
    seconds = median_seconds({size: random_loop(100, 59_900, size) for size in sizes}, rounds)
    return pd.DataFrame(
        [(size, size / seconds[size], size / seconds[size] * seconds[32] / 32) for size in sizes],
        columns=["batch", "images/s", "relative"],
    )


def neighbors_table(rounds: int) -> pd.DataFrame:
    """Speed of a run beside another, relative to one alone; alone and together take turns."""
    command = [sys.executable, LOOP, "--only", "bare", "--iterations", "100"]

    def speeds(number: int) -> list[float]:
        runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
        return [float(run.communicate()[0]) for run in runs]

    ratios = []
    for _ in range(rounds):
        alone, together = speeds(1)[0], speeds(2)
        ratios.append(statistics.mean(together) / alone)
    return pd.DataFrame({"a run beside another, relative": ratios}).agg(["median", "min", "max"]).T


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="iterations of each that are timed")
    parser.add_argument("--pairs", type=int, default=5, help="times that two runs are compared")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for table in (data_table(arguments.rounds), batch_table(max(arguments.rounds // 4, 1))):
        print(table.to_markdown(index=False, floatfmt=".2f"), end="\n\n", flush=True)
    print(neighbors_table(arguments.pairs).to_markdown(floatfmt=".2f"))


if __name__ == "__main__":
    main()
