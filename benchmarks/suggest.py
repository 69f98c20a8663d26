"""Which pictures to label next: `sgan_lab.evaluation.suggest` against random choice, on MNIST.

On each draw a classifier is trained on 50 labels, 5 of each class. Then 50 of 10,000 other images
get their labels, once those that `suggest` chooses and once random ones, and a classifier is
trained on each 100. It prints the test errors and the paired differences. Needs MNIST in the folder
that SGAN_LAB_DATA names, or in data/.

    python benchmarks/suggest.py --draws 5 --by margin num_threads=1
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

import sgan_lab
from sgan_lab.data.load import load
from sgan_lab.evaluation.suggest import CRITERIA, suggest

OF_EACH_CLASS, MORE, POOL = 5, 50, 10_000
TRAINING = ["trial=improved_pi_model", "iterations=1000", "sample_interval=1000"]


def train(chosen: np.ndarray, seed: int, folder: Path, overrides: list[str]) -> sgan_lab.Run:
    """A run with the labels of some training images, by index."""
    folder.mkdir()
    labeled = folder / "labeled.txt"
    labeled.write_text("\n".join(map(str, chosen)))
    split = ["data=mnist", "data.num_labeled=null", f"data.labeled_list={labeled}"]
    settings = [*TRAINING, "data/augmentation=digits", f"seed={seed}", *overrides]
    return sgan_lab.train(*split, *settings, folder=folder / "run")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--by", choices=CRITERIA, default="margin")
    parser.add_argument("overrides", nargs="*", help="settings of the runs")
    arguments = parser.parse_args()
    split = {"num_labeled": None, "labeled_split": "first", "batch_size": 1}
    images, labels = load("MNIST", os.environ.get("SGAN_LAB_DATA", "data"), **split).labeled
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.first, arguments.first + arguments.draws):
            order = np.random.default_rng(seed).permutation(len(labels))
            of_classes = (order[labels[order] == label] for label in range(10))
            start = np.concatenate([of_class[:OF_EACH_CLASS] for of_class in of_classes])
            pool = order[~np.isin(order, start)][:POOL]
            first = train(start, seed, Path(scratch, f"{seed}-first"), arguments.overrides)
            found = suggest(first.classifier, images[pool], MORE, arguments.by, seed)
            chosen = {"random": pool[:MORE], "suggest": pool[[each.index for each in found]]}
            errors = [first.metrics["test_errors"]]
            for name, more in chosen.items():
                both = np.concatenate([start, more])
                run = train(both, seed, Path(scratch, f"{seed}-{name}"), arguments.overrides)
                errors.append(run.metrics["test_errors"])
            rows.append(errors)
            print(f"draw {seed}: 50 labels, 100 random, 100 suggested: {errors}", flush=True)
    errors = np.array(rows)
    differences = errors[:, 1] - errors[:, 2]
    half = stats.t.ppf(0.975, len(rows) - 1) * stats.sem(differences)
    print(f"mean errors: {errors.mean(axis=0)}, suggest by {arguments.by}")
    print(f"fewer errors than random: {differences.mean():.1f} +- {half:.1f} (95 %, paired)")


if __name__ == "__main__":
    main()
