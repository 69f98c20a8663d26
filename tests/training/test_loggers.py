"""Loggers read back by their own libraries, of runs that were resumed."""

import json

import pytest
from omegaconf import OmegaConf

from sgan_lab.errors import DataError
from sgan_lab.training.loggers import make_loggers
from tests.processes import wait_for
from tests.steps import cut, train_here

RUN = ["model=pi_model", "iterations=4", "sample_interval=2", "data.num_labeled=20"]


def interrupted_and_resumed(folder, *arguments):
    """A run of four iterations that ended after the second, and went on."""
    train_here(folder, *RUN, *arguments)
    copy = cut(folder, folder.parent / "resumed", 2)
    return train_here(copy, *RUN, *arguments), copy


@pytest.mark.slow
def test_mlflow_goes_on_with_the_record_of_the_run(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    metrics, folder = interrupted_and_resumed(tmp_path / "run", "+logger=mlflow")
    client = tracking.MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'sgan_lab'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == (folder / "mlflow_id.txt").read_text().strip()
    assert run.info.status == "FINISHED"
    assert run.data.params["data.num_labeled"] == "20"
    assert run.data.metrics["test/accuracy"] == metrics["test_accuracy"]
    logged = client.get_metric_history(run.info.run_id, "labeled/class_loss")
    assert [each.step for each in logged] == [1, 2, 3, 4, 3, 4]  # the first process had done them


def wandb_records(file):
    """What W&B has kept for a later upload: its messages in a log of LevelDB's format.

    Its own process writes them, also after the run has ended; until all are there, none.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, message = file.read_bytes(), 7, b""  # after the header
    records = []
    while position + 7 <= len(content):
        if (left := 32768 - position % 32768) < 7:  # the end of a block is not used
            position += left
            continue
        length, kind = (
            int.from_bytes(content[position + 4 : position + 6], "little"),
            content[position + 6],
        )
        message += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(message))
            message = b""
    return records if records and records[-1].WhichOneof("record_type") == "exit" else []


@pytest.mark.slow
def test_wandb_goes_on_with_the_record_of_the_run_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    arguments = ["logger=wandb", "logger.wandb.offline=true"]
    metrics, folder = interrupted_and_resumed(tmp_path / "run", *arguments)
    run_id = (folder / "wandb_id.txt").read_text().strip()
    steps, last = [], {}
    (first,) = tmp_path.glob("run/wandb/offline-run-*/*.wandb")
    for file in (first, max(folder.glob("wandb/offline-run-*/*.wandb"))):
        assert file.stem == f"run-{run_id}"
        for record in wait_for(lambda file=file: wandb_records(file)):
            items = {each.key or each.nested_key[0]: each for each in record.history.item}
            values = {name: json.loads(each.value_json) for name, each in items.items()}
            last |= values
            if "labeled/class_loss" in values:
                steps.append(values["trainer/global_step"])
    assert last["test/accuracy"] == pytest.approx(metrics["test_accuracy"])
    assert steps == [1, 2, 3, 4, 3, 4]


def test_a_damaged_csv_of_an_earlier_process_is_named(tmp_path):
    csv = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path)}
    config = OmegaConf.create({"logger": {"csv": {**csv, "name": "csv", "version": ""}}})
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"metrics.csv is damaged; move it away to go on"):
        make_loggers(config, tmp_path, 0)
