import pytest
import torch
from pytorch_lightning import Callback, Trainer

from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.data.batches import SemiSupervisedBatches
from sgan_lab.errors import NonFiniteLossError
from sgan_lab.training.checkpoints import Checkpoints
from sgan_lab.training.history import History
from tests.builders import CLASSES, SHAPE, make_data


class Poison(Callback):
    """Makes a weight of the generator not a number before an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step + 1 == self.iteration:
            with torch.no_grad():
                module.generator.layers[0].weight[0, 0] = torch.nan


def fit(tmp_path, iterations, *callbacks):
    torch.manual_seed(0)
    module = SGAN(SHAPE, CLASSES, iterations, 3e-4, 1e-3, 1e-3)
    history = History(1)
    trainer = Trainer(
        **module.training_limit,
        accelerator="cpu",
        logger=False,
        callbacks=[history, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, SemiSupervisedBatches(make_data(), 3))
    return history


def checkpoint(tmp_path):
    return Checkpoints(str(tmp_path), keep=2)


def test_every_iteration_is_recorded_and_intervals_end_where_they_should(tmp_path):
    history = fit(tmp_path, 7, checkpoint(tmp_path))
    assert history.interval_ends == [3, 6, 7]
    assert history.values.shape == (7, 6)
    expected = 0.5 * (history["unlabeled/real_loss"] + history["unlabeled/fake_loss"])
    torch.testing.assert_close(history["unlabeled/discriminator_loss"], expected)
    kept = sorted(path.name for path in tmp_path.glob("*.ckpt"))
    assert kept == ["iteration-6.ckpt", "iteration-7.ckpt"]


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(NonFiniteLossError) as error:
        fit(tmp_path, 9, checkpoint(tmp_path), Poison(iteration=5))
    assert "unlabeled/fake_loss is nan at iteration 5" in str(error.value)
    assert str(tmp_path / "iteration-3.ckpt") in str(error.value)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["iteration-3.ckpt"]
    weights = torch.load(tmp_path / "iteration-3.ckpt", weights_only=True)["state_dict"]
    assert all(weight.isfinite().all() for weight in weights.values())
