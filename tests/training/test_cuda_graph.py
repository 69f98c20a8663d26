"""Without a GPU, on a stand-in: what is recorded is run, and replays are only counted."""

import math
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Trainer

from sgan_lab.algorithms.fixmatch import FixMatch
from sgan_lab.algorithms.sgan import SGAN
from sgan_lab.data.batches import SemiSupervisedBatch, SemiSupervisedBatches
from sgan_lab.training.cuda_graph import WARM_UP, Recorded, RecordIterations
from tests.builders import CLASSES, SHAPE, make_data
from tests.processes import TINY, check_resumed, succeed

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def graphs(monkeypatch):
    """How often each graph was replayed, in the order of their recording."""
    replays = []

    class Graph:
        def __init__(self):
            self.number = len(replays)
            replays.append(0)

        def replay(self):
            replays[self.number] += 1

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda _: nullcontext())
    return replays


def batch_of(value):
    return SemiSupervisedBatch(*(torch.full((2,), value) for _ in range(3)))


def test_each_kind_of_step_is_run_then_recorded_then_replayed(graphs):
    state = SimpleNamespace(kind="plain", counted=0)
    seen = []
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=0.25)
    (group,) = optimizer.param_groups

    def step(batch, _):
        assert isinstance(group["lr"], torch.Tensor)
        assert group["lr"].item() == 0.25
        assert group["capturable"] == bool(graphs and not graphs[-1])
        seen.append((state.kind, batch))
        return {"loss": batch.labels.sum()}

    def count():
        state.counted += 1

    recorded = Recorded(step, [optimizer], lambda: state.kind, count)
    for _ in range(WARM_UP):
        assert recorded(batch_of(2.0), 0)["loss"] == 4
    assert (graphs, state.counted, len(seen)) == ([], 0, WARM_UP)

    for value in (5.0, 6.0, 7.0):
        values = recorded(batch_of(value), 0)
    assert (graphs, state.counted, len(seen)) == ([3], 2, WARM_UP + 1)
    _, inputs = seen[-1]  # which the recorded kernels read
    assert all((tensor == 7).all() for tensor in inputs)
    assert recorded(batch_of(8.0), 0) is values

    state.kind = "other"
    for _ in range(WARM_UP + 2):
        recorded(batch_of(1.0), 0)
    state.kind = "plain"
    recorded(batch_of(1.0), 0)
    assert graphs == [5, 2]
    assert [kind for kind, _ in seen].count("other") == WARM_UP + 1


ITERATIONS = WARM_UP + 4


def fixmatch(**settings):
    return FixMatch(
        image_shape=SHAPE,
        class_names=CLASSES,
        iterations=ITERATIONS,
        learning_rate=1e-3,
        learning_rate_decay=0.5,
        weight=2.0,
        ramp_up=1.0,
        threshold=0.0,
        **settings,
    )


ALGORITHMS = {  # and how many draws are replayed
    "sgan": (lambda: SGAN(SHAPE, CLASSES, ITERATIONS, 3e-4, 1e-3, 1e-3), [4]),
    "fixmatch": (fixmatch, [4]),
    "rand_augment": (lambda: fixmatch(strong_augmentation={"rand_augment": 1}), []),
    "colors": (lambda: fixmatch(strong_augmentation={"hue": 0.1}), [4]),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_lightning_counts_replayed_iterations(name, graphs, monkeypatch):
    make, draws = ALGORITHMS[name]
    module = make()
    monkeypatch.setattr(type(module), "on_gpu", True)
    trainer = Trainer(
        **module.training_limit,
        accelerator="cpu",
        logger=False,
        callbacks=[RecordIterations()],
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, module.batches(make_data(), ITERATIONS))
    assert trainer.global_step == ITERATIONS
    assert graphs == [*draws, 4]
    (optimizer, *_) = trainer.optimizers
    assert {state["step"].item() for state in optimizer.state.values()} == {WARM_UP + 1}
    if name != "sgan":  # what the replays read
        (group,) = optimizer.param_groups
        assert group["lr"].item() == pytest.approx(1e-3 * 2 / ITERATIONS)
        ramped = 2 * math.exp(-5 * (1 / ITERATIONS) ** 2)
        assert module.ramped_weight.item() == pytest.approx(ramped)


def test_draws_with_weights_are_not_recorded():
    data = make_data()
    assert SemiSupervisedBatches(data, 1).is_recordable
    assert not SemiSupervisedBatches(replace(data, balanced_batches=True), 1).is_recordable


def test_a_draw_has_no_inputs(graphs):
    draw = Recorded(lambda: batch_of(3.0))
    batches = [draw() for _ in range(WARM_UP + 2)]
    assert all(torch.equal(batch.labels, batch_of(3.0).labels) for batch in batches)
    assert graphs == [2]


def test_what_cannot_be_recorded_names_the_key(graphs):
    def draw():
        if graphs:
            raise RuntimeError("operation not permitted when stream is capturing")

    recorded = Recorded(draw)
    for _ in range(WARM_UP):
        recorded()
    with pytest.raises(RuntimeError, match=r"cuda_graph=false .* not permitted"):
        recorded()


MODELS = {
    "sgan": [],
    "improved_sgan": ["data/augmentation=digits"],
    "feature_matching": [],
    "bad_gan": ["model.low_density_start=5", "model.density_epochs=1"],
    "margin_gan": [],
    "improved_pi_model": ["model.propagation_weight=1"],
    "pi_model": ["data/augmentation=photos"],
    "vat": ["model.entropy_weight=1"],
    "freematch": [],  # whose draws are not recorded
    "mean_teacher": ["trainer.precision=bf16-mixed"],
}


@needs_gpu
@pytest.mark.parametrize("model", MODELS)
def test_a_recorded_run_is_like_one_that_was_not(model, command_line, tmp_path):
    options = [*TINY[:-1], "trainer=gpu", f"model={model}", *MODELS[model]]
    options += ["iterations=60", "sample_interval=30", "log_interval=1", "seed=3"]
    contents = []
    for recorded in ("true", "false"):
        folder = tmp_path / recorded
        run = command_line(*options, f"cuda_graph={recorded}", f"hydra.run.dir={folder}")
        succeed(run)
        contents.append(torch.load(folder / "checkpoints" / "iteration-60.ckpt", weights_only=True))
    for key in ("state_dict", "global_step"):
        torch.testing.assert_close(*[c[key] for c in contents], rtol=0, atol=0)
    check_resumed(command_line, tmp_path / "true", tmp_path / "true/checkpoints/iteration-60.ckpt")
