"""One run in two processes: Lightning's DDP on the CPU (gloo)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sgan_lab import losses
from sgan_lab.evaluation.checkpoint_files import newest_intact
from sgan_lab.training.checkpoints import RANDOM_STATES
from tests.processes import TINY, read_events, steps, succeed
from tests.training.ddp_program import ITERATIONS, make_sgan

pytestmark = pytest.mark.slow


def averaged_step(ranks, loss, inputs, optimizer):
    """One step of Adam along the mean of the ranks' gradients, taken by all of them."""
    optimizers = [getattr(rank, optimizer) for rank in ranks]
    weights = [o.param_groups[0]["params"] for o in optimizers]
    gradients = [
        torch.autograd.grad(loss(rank, *of_rank), ws)
        for rank, of_rank, ws in zip(ranks, inputs, weights, strict=True)
    ]
    for ws in weights:
        for weight, *of_ranks in zip(ws, *gradients, strict=True):
            # In the weight's memory layout, which fused Adam takes for granted and autograd keeps.
            weight.grad = torch.empty_like(weight).copy_(torch.stack(of_ranks).mean(dim=0))
    for o in optimizers:
        o.step()


def class_loss(rank, images, labels):
    return losses.class_loss(rank.discriminator(images), labels)


def real_loss(rank, images):
    return losses.real_loss(rank.discriminator(images))


def fake_loss(rank, images):
    return losses.fake_loss(rank.discriminator(images))


def generator_loss(rank, noise):
    return losses.real_loss(rank.discriminator(rank.generator(noise)))


def test_processes_draw_their_own_batches_and_learn_from_all_of_them(tmp_path):
    """Two processes equal a loop that averages the gradients of their two batches."""
    subprocess.run(
        [sys.executable, "-m", "tests.training.ddp_program", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        timeout=300,
    )
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    for name, weight in results[0]["weights"].items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(weight, results[1]["weights"][name]), name

    ranks = [make_sgan(), make_sgan()]
    for rank in ranks:
        optimizers = rank.configure_optimizers()
        rank.labeled_optimizer, rank.unlabeled_optimizer, rank.generator_optimizer = optimizers
    draws = [iter(result["draws"]) for result in results]
    for _ in range(ITERATIONS):
        batches, fake_noise, noise = ([next(of_rank) for of_rank in draws] for _ in range(3))
        assert not torch.equal(batches[0].unlabeled_images, batches[1].unlabeled_images)
        # Each process has running averages of its own: with manual optimization Lightning does not
        # synchronize them. The first one's are kept.
        fakes = [(rank.inferred_images(z),) for rank, z in zip(ranks, fake_noise, strict=True)]
        averaged_step(ranks, class_loss, [batch[:2] for batch in batches], "labeled_optimizer")
        averaged_step(ranks, real_loss, [batch[2:] for batch in batches], "unlabeled_optimizer")
        averaged_step(ranks, fake_loss, fakes, "unlabeled_optimizer")
        averaged_step(ranks, generator_loss, [(z,) for z in noise], "generator_optimizer")
    for name, weight in ranks[0].named_parameters():
        torch.testing.assert_close(weight, results[0]["weights"][name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        ["iterations=5", "sample_interval=2", "log_interval=2"],
        [
            *["model=supervised", "model.epochs=3", "data.num_validation=50"],
            "+callbacks=[early_stopping,best_checkpoint]",
            "+callbacks.early_stopping.stopping_threshold=0.0",  # ends after the first epoch
        ],
    ],
)
def test_a_run_in_two_processes_leaves_its_results_once(command_line, tmp_path, model):
    result = succeed(
        command_line(*TINY, *model, "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=run")
    )
    assert result.stdout.count("test accuracy") == 1
    folder = tmp_path / "run"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["processes"] == 2
    newest = newest_intact(folder / "checkpoints")
    assert newest.name == f"iteration-{metrics['iterations']}.ckpt"
    first, second = torch.load(newest, weights_only=True)[RANDOM_STATES]
    assert not torch.equal(first["torch"], second["torch"])
    recorded = steps(read_events(folder), "labeled/class_loss")
    assert recorded == ([4] if "model=supervised" in model else [2, 4, 5])
    assert (folder / "run.log").read_text().count("[sgan_lab.training.history]") == len(recorded)
