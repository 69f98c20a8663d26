import csv
import json
import re
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from sgan_lab.evaluation.evaluate import Evaluation
from sgan_lab.evaluation.metrics import measure
from sgan_lab.training.results import evaluate_run, log_configuration, log_results, run_metrics
from tests.builders import CLASSES, make_data
from tests.processes import read_events, steps

CONFIG = OmegaConf.create(
    {
        "seed": 3,
        "iterations": 50,
        "data": {"_target_": "sgan_lab.data.digits.digits", "num_labeled": None, "batch_size": 32},
        "model": {
            "_target_": "sgan_lab.algorithms.vat.VAT",
            "iterations": "${iterations}",
            "learning_rate": 0.1,
        },
        "logger": {"tensorboard": {"save_dir": "x"}},
    }
)


@pytest.fixture
def test_images():
    """The evaluation of images of all classes but one."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(45) % 9
    return Evaluation(torch.randn(45, 10, generator=generator), labels, CLASSES)


def test_metrics_json_holds_every_part_and_no_nan(test_images):
    data = make_data()
    trainer = SimpleNamespace(global_step=50, world_size=1)
    evaluations = {"test": test_images, "validation": test_images}
    metrics = run_metrics(CONFIG, data, evaluations, trainer, 4.0, "abc")
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    for name, value in measure(test_images).items():
        assert metrics[f"test_{name}"] == metrics[f"validation_{name}"] == value
    assert metrics["test_class_accuracy"]["9"] is None
    assert metrics["iterations_per_second"] == 12.5
    assert (metrics["seed"], metrics["num_labeled"], metrics["test_images"]) == (3, 20, 20)


@pytest.mark.parametrize("has_validation", [False, True])
def test_validation_images_are_evaluated_where_there_are_any(has_validation):
    data = make_data()
    if has_validation:
        object.__setattr__(data, "validation", data.test)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28 * 28, 10))
    evaluations = evaluate_run(network, data)
    assert list(evaluations) == ["test", "validation"][: 1 + has_validation]
    assert all(each.logits.shape == (20, 10) for each in evaluations.values())


def test_every_logger_gets_the_test_metrics(tmp_path, test_images):
    loggers = [
        CSVLogger(tmp_path, name="", version=""),
        TensorBoardLogger(tmp_path, name="", version=""),
    ]
    loggers[0].log_metrics({"labeled/class_loss": 1.0}, step=10)
    loggers[0].finalize("success")  # as the trainer does after training
    log_results(loggers, CONFIG, make_data(), test_images, 50)
    metrics = measure(test_images)
    with (tmp_path / "metrics.csv").open() as file:
        first, last = csv.DictReader(file)
    assert (first["step"], first["test/macro_f1"]) == ("10", "")
    assert last["step"] == "50"
    assert float(last["test/macro_f1"]) == pytest.approx(metrics["macro_f1"])

    events = read_events(tmp_path)
    (event,) = events.Scalars("test/class_accuracy/4")
    assert (event.step, event.value) == (50, pytest.approx(metrics["class_accuracy"]["4"]))
    assert "test/class_accuracy/9" not in events.Tags()["scalars"]
    assert [image.step for image in events.Images("test/confusion_matrix")] == [50]


def test_a_run_that_is_tested_again_has_its_result_once(tmp_path, test_images):
    """As after a kill between the test and the end; and after the clock was set back."""
    for _ in range(2):
        logger = TensorBoardLogger(tmp_path, name="", version="", purge_step=51)
        logger.log_metrics({"labeled/class_loss": 1.0}, step=50)
        logger.finalize("success")
        log_results([logger], CONFIG, make_data(), test_images, 50)
        for file in tmp_path.glob("events.*"):
            file.rename(tmp_path / re.sub("tfevents.1", "tfevents.2", file.name))
    log_results([logger], CONFIG, make_data(), test_images, 60)
    assert steps(read_events(tmp_path), "test/accuracy") == [50, 60]


def test_hparams_hold_all_settings_and_the_length(tmp_path, test_images):
    log_results([TensorBoardLogger(tmp_path, "", "")], CONFIG, make_data(), test_images, 40)
    events = read_events(tmp_path)

    def content(part):
        plugin = events.SummaryMetadata(f"_hparams_/{part}").plugin_data.content
        return HParamsPluginData.FromString(plugin)

    hparams = content("session_start_info").session_start_info.hparams
    assert {name: each.number_value or each.string_value for name, each in hparams.items()} == {
        "seed": 3,
        "iterations": 40,
        "data": "digits",
        "data.num_labeled": 20,
        "data.batch_size": 32,
        "model": "VAT",
        "model.learning_rate": 0.1,
    }
    experiment = content("experiment").experiment
    assert {info.name for info in experiment.hparam_infos if info.differs} == {
        *("seed", "iterations", "data.num_labeled", "model.learning_rate")
    }
    names = {info.name.tag for info in experiment.metric_infos}
    assert names == {
        f"test/{name}" for name, value in measure(test_images).items() if type(value) is not dict
    }


def test_the_configuration_is_in_the_text_tab(tmp_path):
    logger = TensorBoardLogger(tmp_path, "", "")
    log_configuration([CSVLogger(tmp_path), logger], CONFIG)
    logger.finalize("success")
    (event,) = read_events(tmp_path).Tensors("configuration/text_summary")
    (text,) = make_ndarray(event.tensor_proto)
    lines = [line.removeprefix("    ") for line in text.decode().splitlines()]
    assert OmegaConf.create("\n".join(lines)) == CONFIG
