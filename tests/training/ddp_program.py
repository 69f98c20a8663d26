"""An SGAN in two processes, each of which saves what it drew and what it learned.

`python -m tests.training.ddp_program FOLDER`; Lightning starts the second process with the same
command.
"""

import os
import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.data.batches import SemiSupervisedBatches
from tests.builders import CLASSES, SHAPE, make_data

ITERATIONS = 2


def make_sgan():
    """The same weights in every process; without dropout, in float64, to be computed again."""
    torch.manual_seed(0)
    sgan = SGAN(SHAPE, CLASSES, ITERATIONS, 3e-4, 1e-3, 1e-3)
    sgan.discriminator.layers[6].p = 0
    return sgan.double()


def main():
    os.environ.pop("PL_GLOBAL_SEED", None)  # left by another test; Lightning would seed by it
    sgan, draws = make_sgan(), []
    noise, training_step = sgan.noise, sgan.training_step

    def recorded_noise(num_images):
        draws.append(noise(num_images).double())
        return draws[-1]

    def recorded_step(batch, batch_idx):
        images, labels, unlabeled_images = batch
        draws.append(batch._make((images.double(), labels, unlabeled_images.double())))
        return training_step(draws[-1], batch_idx)

    sgan.noise, sgan.training_step = recorded_noise, recorded_step
    preset = OmegaConf.load(CONFIG_PATH / "trainer" / "ddp.yaml")
    trainer = Trainer(
        **sgan.training_limit,
        accelerator="cpu",
        devices=preset.devices,
        strategy=preset.strategy,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.manual_seed(trainer.global_rank)
    trainer.fit(sgan, SemiSupervisedBatches(make_data(), ITERATIONS))
    result = {"draws": draws, "weights": sgan.state_dict()}
    torch.save(result, Path(sys.argv[1]) / f"{trainer.global_rank}.pt")


if __name__ == "__main__":
    main()
