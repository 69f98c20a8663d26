"""The tutorial in Keras, in plain PyTorch and here: `python benchmarks/peers.py --keras PYTHON`.

`predict` is the book's loop in Keras as it is printed, `predict_on_batch` the same with that method
in place of `predict`; `plain` is the loop in the simplest PyTorch, `run` is `python -m
sgan_lab.run`, and `bf16` the same with `trainer.precision=bf16`. Each is a process of its own that
times its iterations after the first. They take short turns, in the opposite order every other
round: other work on a machine meets all alike. Keras needs an environment of its own:

    python -m venv keras && keras/bin/pip install tensorflow==2.21.0
    python benchmarks/peers.py --keras keras/bin/python

Needs MNIST in the folder that SGAN_LAB_DATA names, or in data/.
"""

import argparse
import subprocess
from pathlib import Path

import pandas as pd
from loop import ROOT, measure

KERAS = ("predict", "predict_on_batch")
OURS = ("plain", "run", "bf16")


def measure_keras(python: str, predict: str, iterations: int, threads: int) -> float:
    """Iterations a second of `benchmarks/keras_loop.py`.

    Args:
        python: of an environment with TensorFlow.
        predict: the method that generates images.
        iterations: that are timed.
        threads: of the CPU.
    """
    options = {"predict": predict, "iterations": iterations, "threads": threads}
    command = [python, "benchmarks/keras_loop.py", *(f"--{k}={v}" for k, v in options.items())]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(finished.stderr)
    return float(finished.stdout.split()[-1])


def main() -> None:
    """Print speeds, and ratios within rounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keras", required=True, help="Python of an environment with TensorFlow")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured")
    parser.add_argument("--iterations", type=int, default=60, help="iterations each time")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    arguments = parser.parse_args()
    python = str(Path(arguments.keras).absolute())
    rows = []
    for round_ in range(arguments.rounds):
        speeds = {}
        for name in (KERAS + OURS) if round_ % 2 == 0 else reversed(KERAS + OURS):
            size = (arguments.iterations, arguments.threads)
            if name in KERAS:
                speeds[name] = measure_keras(python, name, *size)
            else:
                speeds[name] = measure(name, *size, "cpu")["speed"]
            print(f"round {round_ + 1}: {name:16} {speeds[name]:6.2f} it/s", flush=True)
        rows.append(speeds)
    speeds = pd.DataFrame(rows)[[*KERAS, *OURS]]
    ratios = speeds.div(speeds["predict_on_batch"], axis=0)
    table = pd.DataFrame(
        {
            "it/s, best": speeds.max(),
            "of predict_on_batch, median": ratios.median(),
            "min": ratios.min(),
            "max": ratios.max(),
            "of its best": speeds.max() / speeds["predict_on_batch"].max(),
        }
    )
    print(table.to_markdown(floatfmt=".2f"))


if __name__ == "__main__":
    main()
