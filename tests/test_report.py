import json
import math
import subprocess
import sys

import pandas as pd
import pytest
from omegaconf import OmegaConf

from sgan_lab.errors import DataError
from sgan_lab.report import (
    accuracy_figure,
    read_runs,
    summarize,
    swept_numbers,
    varied_settings,
    write_report,
)


def make_run(folder, model, num_labeled, seed, accuracy=None, **top_level):
    """A run folder as `sgan_lab.run` leaves it; without an accuracy, one that did not finish."""
    folder.mkdir(parents=True)
    (folder / "run.log").touch()
    config = {
        "seed": seed,
        "iterations": 100,
        "num_threads": seed + 1,
        "data": {"_target_": "sgan_lab.data.digits", "num_labeled": num_labeled},
        "model": {"_target_": f"sgan_lab.models.{model}", "iterations": 100},
        "logger": {"tensorboard": {"save_dir": str(folder)}},
        **top_level,
    }
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    if accuracy is not None:
        metrics = {"test_accuracy": accuracy, "test_errors": 1, "seconds": 2.0}
        (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def sweep(tmp_path):
    """Two models at two label counts, three seeds each; one run has no result."""
    accuracies = {("SGAN", 50): 0.8, ("SGAN", 100): 0.9, ("Net", 50): 0.6, ("Net", 100): 0.7}
    for (model, labels), accuracy in accuracies.items():
        for seed in range(3):
            missing = (model, labels, seed) == ("Net", 100, 2)
            value = None if missing else accuracy + 0.01 * seed
            make_run(tmp_path / f"{model}{labels}{seed}", model, labels, seed, value)
    return tmp_path


def test_runs_are_grouped_over_seeds_by_what_was_swept(sweep):
    runs = read_runs([sweep])
    assert len(runs) == 12
    assert set(varied_settings(runs)) == {"data.num_labeled", "model"}
    summary = summarize(runs).set_index(["model", "data.num_labeled"])
    assert summary.runs.to_dict() == {
        ("Net", 50): 3,
        ("Net", 100): 2,
        ("SGAN", 50): 3,
        ("SGAN", 100): 3,
    }
    group = summary.loc[("SGAN", 100)]
    assert group["mean"] == pytest.approx(0.91)
    assert group["std"] == pytest.approx(0.01)
    # The table's t(0.975) for two degrees of freedom is 4.303.
    half = 4.303 * 0.01 / math.sqrt(3)
    assert (group.low, group.high) == pytest.approx((0.91 - half, 0.91 + half), abs=1e-5)
    # The run without a result is in no mean.
    assert summary.loc[("Net", 100), "mean"] == pytest.approx(0.705)


def test_one_run_has_no_interval(tmp_path):
    make_run(tmp_path / "run", "SGAN", 50, 0, 0.8)
    (row,) = summarize(read_runs([tmp_path])).to_dict("records")
    assert (row["runs"], row["mean"]) == (1, 0.8)
    assert all(math.isnan(row[name]) for name in ("std", "low", "high"))


def test_a_report_without_any_result_is_written(tmp_path):
    make_run(tmp_path / "run", "SGAN", 50, 0)
    write_report(read_runs([tmp_path]), tmp_path)
    assert "no result" in (tmp_path / "report.html").read_text()


def test_figures_have_a_line_a_model_against_the_swept_number(sweep):
    summary = summarize(read_runs([sweep]))
    assert swept_numbers(summary) == ["data.num_labeled"]
    accuracy, error = accuracy_figure(summary, "data.num_labeled").axes
    lines = {container.get_label(): container.lines[0] for container in accuracy.containers}
    assert set(lines) == {"model=SGAN", "model=Net"}
    assert list(lines["model=SGAN"].get_xdata()) == [50, 100]
    assert list(lines["model=SGAN"].get_ydata()) == pytest.approx([0.81, 0.91])
    assert error.get_yscale() == "log"
    assert [label.get_text() for label in accuracy.get_xticklabels()] == ["50", "100"]


def test_the_report_lists_every_run_and_escapes_names(sweep):
    make_run(sweep / "<b>odd", "SGAN", 50, 9, note="<script>alert(1)</script>")
    runs = read_runs([sweep])
    write_report(runs, sweep)
    assert len(pd.read_csv(sweep / "runs.csv")) == 13
    assert len(pd.read_csv(sweep / "summary.csv")) == 4
    page = (sweep / "report.html").read_text()
    assert "<script>" not in page
    assert "<b>odd" not in page
    assert "&lt;b&gt;odd" in page
    assert "http" not in page
    assert page.count("data:image/png;base64,") == 1
    markdown = (sweep / "report.md").read_text()
    unfinished = markdown.split("## Runs without a result")[1].split("## Runs")[0]
    assert "Net1002" in unfinished
    assert "<b>odd" in unfinished
    assert "SGAN1000" not in unfinished


def test_damaged_and_missing_runs_are_named(sweep, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match="No runs in"):
        read_runs([empty])
    (sweep / "SGAN500" / "metrics.json").write_text('{"test_accuracy": ')
    with pytest.raises(DataError, match="SGAN500 is no readable run"):
        read_runs([sweep])
    command = [sys.executable, "-m", "sgan_lab.report", str(empty)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
