"""Labels and unlabeled images of three classes, 90, 5 and 5 % of them."""

from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning import Trainer

from sgan_lab.config.files import CONFIG_PATH
from sgan_lab.evaluation.evaluate import evaluate
from sgan_lab.evaluation.metrics import measure
from sgan_lab.training.failures import Failures
from sgan_lab.training.history import History
from sgan_lab.training.train import build_algorithm, pl
from tests.test_conf import MODELS

DATA = ["data=own", "+data.source._target_=tests.builders.unequal_digits", "data.num_labeled=60"]
DATA += ["data.batch_size=16", "iterations=150", "sample_interval=50"]
SETTINGS = {
    "supervised": ["model.epochs=38"],  # as many updates as the others
    "bad_gan": ["model.low_density_weight=0"],  # it would act later
    "sgan": ["model.generator_channels=8"],
    "improved_sgan": ["model.generator_channels=8"],
    "margin_gan": ["model.generator_channels=8"],
}


@cache
def trained(model, *settings):
    """The test metrics of a short training, and the kinds of failure that were seen."""
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        overrides = [*DATA, f"model={model}", *SETTINGS.get(model, []), *settings]
        config = compose("config", overrides)
    pl.seed_everything(0, verbose=False)
    data = instantiate(config.data)
    algorithm = build_algorithm(config, data)
    history = History(None)
    failures = Failures(history, data)
    trainer = Trainer(
        **algorithm.training_limit,
        accelerator="cpu",
        logger=False,
        callbacks=[history, failures],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = algorithm.batches(data, config.sample_interval)
    algorithm.prepare(data)
    trainer.fit(algorithm, batches)
    failures.compare_frequencies(algorithm)
    return measure(evaluate(algorithm, data.test, data.class_names)), failures.found


@pytest.mark.parametrize("model", sorted({*MODELS} - {"supervised", "sgan_plus"}))
def test_no_method_is_behind_the_baseline_unsaid(model):
    baseline, _ = trained("supervised")
    metrics, found = trained(model)
    gap = baseline["balanced_accuracy"] - metrics["balanced_accuracy"]
    assert gap < 0.1 or "class_frequencies" in found


def test_logit_adjustment_finds_the_rare_classes():
    found, missed = trained("vat", "model.logit_adjustment=1"), trained("vat")
    assert found[0]["balanced_accuracy"] > missed[0]["balanced_accuracy"] + 0.2
    assert "class_frequencies" in missed[1]
    assert "class_frequencies" not in found[1]
