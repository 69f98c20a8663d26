"""Hundreds of jobs: `python benchmarks/jobs.py sweep`, or resume, report, predict, tensorboard.

Each prints seconds, processor time and peak memory, without those of a sweep's jobs.
`sweep` trains its jobs; for the others, one run of a second is copied as often as asked for.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
TINY = ["model=supervised", "data=digits", "model.epochs=1", "num_threads=1", "trainer=cpu"]
RUN, COMMAND = ["-m", "sgan_lab.run"], ["-m", "sgan_lab"]


def run(*arguments: object) -> float:
    """Run Python with some arguments from the root of the repository; gives its peak in MiB."""
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed.")
    return usage.ru_maxrss / 1024


def processor_time() -> float:
    """Processor time of all processes that have ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(name: str, *arguments: object) -> None:
    """Run Python with some arguments and print what it took."""
    before, started = processor_time(), time.perf_counter()
    peak = run(*arguments)
    seconds, processor = time.perf_counter() - started, processor_time() - before
    print(f"{name}: {seconds:.1f} s, {processor:.1f} s of processor time, {peak:.0f} MiB")


def copied_sweep(folder: Path, number: int) -> Path:
    """A sweep of a number of seeds, in which all runs are copies of the first."""
    sweep = folder / "sweep"
    run(*RUN, "-m", *TINY, "seed=0,1", f"hydra.sweep.dir={sweep}")
    for seed in range(1, number):
        copy = sweep / f"seed={seed}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(sweep / "seed=0", copy)
        for name in ("config.yaml", ".hydra/config.yaml", ".hydra/overrides.yaml"):
            text = re.sub(r"(seed[:=] ?)0\b", rf"\g<1>{seed}", (copy / name).read_text())
            (copy / name).write_text(text)
        metrics = json.loads((copy / "metrics.json").read_text()) | {"seed": seed}
        (copy / "metrics.json").write_text(json.dumps(metrics))
    multirun = sweep / "multirun.yaml"
    multirun.write_text(multirun.read_text().replace("seed=0,1", f"seed=range({number})"))
    return sweep


def measure_sweep(folder: Path, number: int) -> None:
    """Sweep, kill two results, and resume twice."""
    sweep = folder / "sweep"
    arguments = [*RUN, "-m", *TINY, f"seed=range({number})", f"hydra.sweep.dir={sweep}"]
    measure(f"sweep of {number} jobs with its report", *arguments)
    for run in sorted(sweep.glob("seed=*"))[:2]:
        (run / "metrics.json").unlink()
    measure("resumed, two jobs left, with its report", *RUN, f"sweep.resume={sweep}")
    measure("resumed, none left", *RUN, f"sweep.resume={sweep}")


def measure_resume(folder: Path, number: int) -> None:
    """Resume a complete sweep."""
    sweep = copied_sweep(folder, number)
    measure("report", *COMMAND, "report", sweep, "--output", sweep)
    measure(f"{number} complete jobs resumed", *RUN, f"sweep.resume={sweep}")


def measure_report(folder: Path, number: int) -> None:
    """Write a report."""
    sweep = copied_sweep(folder, number)
    measure(f"report over {number} runs", *COMMAND, "report", sweep, "--output", folder / "report")


def measure_predict(folder: Path, number: int) -> None:
    """Classify pictures, and a quarter of them."""
    from PIL import Image

    run(*RUN, *TINY, f"hydra.run.dir={folder}/run")
    (checkpoint,) = folder.glob("run/checkpoints/*.ckpt")
    for count in (number // 4, number):
        pictures = folder / str(count)
        pictures.mkdir()
        for index in range(count):
            picture = Image.frombytes("L", (28, 28), os.urandom(28 * 28))
            picture.save(pictures / f"{index}.png")
        measure(f"{count} pictures classified", *COMMAND, "predict", checkpoint, pictures)


def measure_tensorboard(folder: Path, number: int) -> None:
    """Start TensorBoard and wait until it has all runs."""
    sweep, port = copied_sweep(folder, number), 6123
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", sweep, "--port", str(port)]
    started = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            found, first = [], 0.0
            while len(found) < number:
                time.sleep(0.2)
                try:
                    url = f"http://localhost:{port}/data/runs"
                    found = json.load(urllib.request.urlopen(url))
                except OSError:
                    continue
                first = first or time.perf_counter() - started
        finally:
            server.terminate()
    print(f"TensorBoard answers after {first:.1f} s, has {number} runs after", end=" ")
    print(f"{time.perf_counter() - started:.1f} s")


def main() -> None:
    """Measure one of them."""
    kinds = {
        "sweep": (measure_sweep, 300),
        "resume": (measure_resume, 1000),
        "report": (measure_report, 2000),
        "predict": (measure_predict, 20_000),
        "tensorboard": (measure_tensorboard, 300),
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--number", type=int, help="jobs, runs or pictures")
    arguments = parser.parse_args()
    function, number = kinds[arguments.kind]
    with tempfile.TemporaryDirectory() as folder:
        function(Path(folder), arguments.number or number)


if __name__ == "__main__":
    main()
