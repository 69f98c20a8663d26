"""Curves and generated images from the files that runs wrote for TensorBoard."""

import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    IMAGES,
    SCALARS,
    EventAccumulator,
    ImageEvent,
)

from sgan_lab.evaluation.metrics import METRICS

log = logging.getLogger(__name__)

POINTS = 50  # of a curve, at most
SAMPLES = "generator/images"  # see callbacks.py


class Events(NamedTuple):
    """The events of one run.

    Attributes:
        points: columns `scalar`, `iteration` and `value`, of each scalar that has a curve, except
            metrics of single classes.
        samples: the last grid of generated images, as `step` and PNG; None where there is none.
    """

    points: pd.DataFrame
    samples: ImageEvent | None


def read_events(folder: Path) -> Events:
    """The events in a run folder; where they are damaged, those before the damage.

    They are put in order by their step. The reader goes by the times in the files' names, and after
    a clock was set back it would purge what a resumed run wrote.
    """
    sizes = {SCALARS: 0, IMAGES: 0}  # 0 for all
    reader = EventAccumulator(str(folder), size_guidance=sizes, purge_orphaned_data=False)
    try:
        reader.Reload()
    except Exception as error:  # protobuf has its own
        log.warning("Events in %s are damaged: %s", folder, error)
    tags = reader.Tags()
    # By step: a run that was killed after its test and resumed has its test result twice.
    curves = {
        tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in tags[SCALARS]
    }
    per_class = tuple(f"validation/{name}/" for name in METRICS if METRICS[name].per_class)
    points = [
        (tag, step, value)
        for tag, values in curves.items()
        if len(values) > 1 and not tag.startswith(per_class)
        for step, value in sorted(values.items())
    ]
    images = reader.Images(SAMPLES) if SAMPLES in tags[IMAGES] else []
    samples = max(images, key=lambda event: event.step, default=None)
    return Events(
        pd.DataFrame(points, columns=["scalar", "iteration", "value"]),
        samples if samples and is_png(samples.encoded_image_string) else None,
    )


def is_png(content: bytes) -> bool:
    """Whether a PNG image can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                image.load()
    except Exception:  # each damage fails in its own way
        return False
    return True


def mean_curves(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Curves over the runs of a group: the mean of the runs' means in each bin of iterations.

    Of each run `Events.points` is given.

    Returns:
        Columns `scalar`, `iteration` (mean of the bin's), `mean`, and `low` and `high`, the least
        and the greatest mean of a run; in the order in which the runs wrote their scalars.
    """
    points = pd.concat(runs, keys=range(len(runs)), names=["run"]).reset_index("run")
    width = points.iteration.max() / POINTS
    points["bin"] = np.ceil(points.iteration / width)
    of_runs = points.groupby(["scalar", "bin", "run"], sort=False).mean()
    return (
        of_runs.groupby(["scalar", "bin"], sort=False)
        .agg(
            iteration=("iteration", "mean"),
            mean=("value", "mean"),
            low=("value", "min"),
            high=("value", "max"),
        )
        .reset_index("scalar")
    )
