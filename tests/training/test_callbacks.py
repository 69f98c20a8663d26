import io
import re
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import rich
import torch
from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.training.callbacks import ProgressBar, SampleGrid, Validation
from tests.builders import CLASSES, SHAPE, make_data


def train(tmp_path, *callbacks):
    torch.manual_seed(0)
    module = SGAN(SHAPE, CLASSES, 4, 3e-4, 1e-3, 1e-3)
    trainer = Trainer(
        **module.training_limit,
        accelerator="cpu",
        logger=TensorBoardLogger(tmp_path, name="", version=""),
        default_root_dir=tmp_path,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, SemiSupervisedBatches(make_data(), 2))
    return module


def test_sample_grids_come_from_one_noise_and_leave_training_as_it_is(tmp_path):
    samples = SampleGrid(num_images=4)
    with_grids = train(tmp_path / "with", samples)
    without = train(tmp_path / "without")
    for ours, expected in zip(with_grids.parameters(), without.parameters(), strict=True):
        assert torch.equal(ours, expected)

    events = EventAccumulator(str(tmp_path / "with"))
    events.Reload()
    grids = events.Images("generator/images")
    assert [grid.step for grid in grids] == [2, 4]
    assert (grids[0].width, grids[0].height) == (4 * 30 + 2, 30 + 2)
    assert samples.noise.shape == (4, 100)
    assert list(samples.over_time) == [2, 4]
    assert samples.over_time[4].shape == (4, *SHAPE)
    assert (tmp_path / "with" / "generated_images_over_time.png").is_file()
    files = tmp_path / "with" / "generated_images.png", BytesIO(grids[1].encoded_image_string)
    last, logged = (np.asarray(Image.open(file)).astype(int) for file in files)
    assert abs(last - logged).max() <= 1  # rounding


def test_images_over_time_are_of_about_ten_iterations_however_many_grids_there_are():
    grids = SampleGrid(num_images=12)
    module = SGAN(SHAPE, CLASSES, 95, 3e-4, 1e-3, 1e-3)
    grids.noise = torch.zeros(12, 100)
    for step in range(2, 96):
        trainer = SimpleNamespace(
            global_step=step, max_steps=95, is_global_zero=False, loggers=[], default_root_dir=""
        )
        grids.on_train_epoch_end(trainer, module)
    assert list(grids.over_time) == [*range(10, 91, 10), 95]
    again = SampleGrid(num_images=12)
    again.load_state_dict(grids.state_dict())
    assert again.over_time is grids.over_time
    assert again.over_time[95].untyped_storage().nbytes() == 8 * 28 * 28 * 4


@pytest.mark.parametrize(("terminal", "width"), [(True, 80), (True, 40), (False, 80)])
def test_progress_bar_counts_iterations_where_there_is_a_terminal(
    tmp_path, monkeypatch, terminal, width
):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=width)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    train(tmp_path, ProgressBar())
    shown = re.sub(r"\x1b\[[0-9;?]*\w", "", output.getvalue())
    assert ("iteration 4/4" in shown) == terminal
    assert ("it/s" in shown) == terminal
    assert "\n" not in output.getvalue().rstrip().replace("\n\x1b[?25h", "")


def test_early_stopping_watches_the_metrics_on_the_validation_images(tmp_path):
    """A threshold that every value reaches ends training after the first interval."""
    stopping = EarlyStopping("validation/accuracy", mode="max", stopping_threshold=0.0)
    data = replace(make_data(), validation=make_data().labeled)
    module = train(tmp_path, Validation(data), stopping)
    assert module.trainer.global_step == 2
