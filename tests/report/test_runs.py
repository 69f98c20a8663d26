import math
import os
import platform

import pytest

from sgan_lab.errors import DataError
from sgan_lab.jobs.status import Status, write_status
from sgan_lab.report.runs import (
    class_means,
    group_name,
    num_without,
    paired_differences,
    read_runs,
    summarize,
    swept_keys,
    varied_settings,
)
from tests.builders import change_metrics, make_run, make_sweep


def records(table):
    return table.to_dict("records")


def test_runs_are_grouped_over_seeds_by_what_was_swept(tmp_path):
    runs = read_runs([make_sweep(tmp_path)])
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


def test_the_worst_run_and_those_that_lose_a_part_of_a_class_are_told(tmp_path):
    """Also where a setting that varies is not one of every model."""
    for seed, accuracy in enumerate((0.97, 0.99, 0.98)):
        run = make_run(tmp_path / f"a{seed}", "SGAN", 50, seed, accuracy, {"beta": 1})
        change_metrics(
            run, test_class_accuracy={"1": 0.999, "7": accuracy - 0.03}, test_errors=seed
        )
        make_run(tmp_path / f"b{seed}", "Net", 50, seed, accuracy)
    net, sgan = records(summarize(read_runs([tmp_path])))
    assert (sgan["model"], sgan["median"], sgan["worst"], sgan["losing"]) == ("SGAN", 0.98, 0.97, 1)
    assert (net["median"], net["worst"], net["losing"]) == (0.98, 0.97, 0)
    assert records(summarize(read_runs([tmp_path]), "errors"))[1]["worst"] == 2


def test_one_run_has_no_interval(tmp_path):
    make_run(tmp_path / "run", "SGAN", 50, 0, 0.8)
    (row,) = records(summarize(read_runs([tmp_path])))
    assert (row["runs"], row["mean"]) == (1, 0.8)
    assert all(math.isnan(row[name]) for name in ("std", "low", "high"))


def test_a_repeated_run_narrows_no_interval(tmp_path):
    for name, seed, accuracy in (("a", 0, 0.7), ("b", 0, 0.9), ("c", 1, 0.6)):
        make_run(tmp_path / name, "SGAN", 50, seed, accuracy)
    (row,) = records(summarize(read_runs([tmp_path, tmp_path / "a"])))
    assert (row["runs"], row["mean"]) == (2, pytest.approx(0.7))
    assert row["std"] == pytest.approx(math.sqrt(2) * 0.1)


def test_every_state_is_told_and_only_finished_runs_have_a_result(tmp_path):
    this = {"host": platform.node(), "pid": os.getpid()}
    states = {
        "1_finished": Status("finished", None, 8, 8),
        "2_running": Status("running", None, 3, 8, **this),
        "10_failed": Status("failed", "loss is nan;\nstopped", 5, 8),
        "11_interrupted": Status("interrupted"),
        "12_killed": Status("running", None, 4, 8, host=platform.node(), pid=2**22 + 1),
    }
    for seed, (name, status) in enumerate(states.items()):
        write_status(make_run(tmp_path / name, "SGAN", 50, seed, 0.1 * seed), status)
    make_run(tmp_path / "13_before_status", "SGAN", 50, 9, 0.6)
    make_run(tmp_path / "14_no result", "SGAN", 50, 9)
    (tmp_path / "15_early").mkdir()
    write_status(tmp_path / "15_early", Status("failed", "no data"))
    (tmp_path / "1_finished" / ".hydra").mkdir()
    (tmp_path / "1_finished" / ".hydra" / "config.yaml").touch()

    runs = read_runs([tmp_path]).set_index("run")
    assert runs.status.to_dict() == {
        "1_finished": "finished",
        "2_running": "running",
        "10_failed": "failed",
        "11_interrupted": "interrupted",
        "12_killed": "killed",
        "13_before_status": "finished",
        "14_no result": "no result",
        "15_early": "failed",
    }
    assert list(runs.index) == [*states, "13_before_status", "14_no result", "15_early"]
    assert runs.error["10_failed"] == "loss is nan; stopped"
    assert runs.error["15_early"] == "no data"
    assert (runs.iteration["12_killed"], runs.last_iteration["12_killed"]) == (4, 8)
    (row,) = records(summarize(runs.reset_index()))
    assert (row["runs"], row["mean"]) == (2, pytest.approx(0.3))


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("metrics.json", '{"test_accuracy": ', "metrics.json: JSONDecodeError"),
        ("metrics.json", "[]", "metrics.json: AttributeError: "),
        ("metrics.json", '{"test_loss": NaN}', "metrics.json: ValueError: test_loss is nan"),
        ("metrics.json", '{"test_accuracy": 2}', "metrics.json: ValueError: test_accuracy is 2"),
        (
            "metrics.json",
            '{"test_class_accuracy": {"a": "x"}}',
            "metrics.json: ValueError: test_class_accuracy/a is x",
        ),
        ("metrics.json", '{"date": "today"}', "metrics.json: ValueError: "),
        ("metrics.json", '{"warnings": {"accuracy": "x"}}', "metrics.json: ValueError: "),
        ("metrics.json", None, "metrics.json: FileNotFoundError"),
        ("config.yaml", "a: [", "config.yaml: "),
        ("config.yaml", "seed: 1", "config.yaml: ValueError: no model"),
        ("config.yaml", None, "config.yaml: DataError"),
    ],
)
def test_a_damaged_run_is_listed_with_the_reason_and_is_in_no_mean(tmp_path, file, content, error):
    make_sweep(tmp_path)
    damaged = tmp_path / "SGAN500"
    write_status(damaged, Status("finished"))
    if content is None:
        (damaged / file).unlink()
    else:
        (damaged / file).write_text(content)
    runs = read_runs([tmp_path]).set_index("run")
    assert runs.status["SGAN500"] == "damaged"
    assert runs.error["SGAN500"].startswith(error)
    assert "\n" not in runs.error["SGAN500"]
    summary = summarize(runs.reset_index()).set_index(["model", "data.num_labeled"])
    assert summary["mean"]["SGAN", 50] == pytest.approx(0.815)


def test_a_run_without_the_metric_leaves_a_gap(tmp_path):
    for seed, value in enumerate((0.5, 0.7, None, "missing")):
        folder = make_run(tmp_path / str(seed), "SGAN", 50, seed, 0.8)
        if value != "missing":
            change_metrics(folder, test_macro_f1=value)
    runs = read_runs([tmp_path])
    assert set(runs.status) == {"finished"}
    (row,) = records(summarize(runs, "macro_f1"))
    assert (row["runs"], row["mean"]) == (2, pytest.approx(0.6))
    assert num_without(runs, "macro_f1") == 2
    (row,) = records(summarize(runs))
    assert (row["runs"], num_without(runs, "accuracy")) == (4, 0)
    assert len(summarize(runs, "loss")) == len(paired_differences(runs, "loss")) == 0
    assert num_without(runs, "loss") == 4


def test_a_setting_cannot_pass_for_a_result(tmp_path):
    folder = make_run(tmp_path / "run", "SGAN", 50, 0, 0.8, test_macro_f1=1.0, seconds=9)
    change_metrics(folder, test_errors=7)
    runs = read_runs([tmp_path])
    assert num_without(runs, "macro_f1") == 1
    assert (runs.seconds.item(), runs.test_errors.item()) == (2, 7)


def test_values_of_classes_are_means_over_seeds(tmp_path):
    accuracies = [{"cat": 0.5, "model": 0.2}, {"cat": 0.7, "model": None}, {"dog": 1.0}]
    for seed, values in enumerate(accuracies):
        change_metrics(
            make_run(tmp_path / str(seed), "SGAN", 50, seed, 0.8), test_class_accuracy=values
        )
    make_run(tmp_path / "old", "Net", 50, 0, 0.8)
    (row,) = records(class_means(read_runs([tmp_path]), "class_accuracy"))
    assert row == {
        "model": "SGAN",
        "test_class_accuracy/cat": pytest.approx(0.6),
        "test_class_accuracy/model": 0.2,
        "test_class_accuracy/dog": 1.0,
    }


def test_rows_are_sorted_by_settings_numbers_first(tmp_path):
    for rate in ("b", 10, "a", 9, None, 0.5):
        make_run(tmp_path / str(rate), "SGAN", 50, 0, 0.8, {"rate": rate})
    summary = summarize(read_runs([tmp_path]))
    assert summary["model.rate"].tolist() == [0.5, 9, 10, "a", "b", "null"]


def test_no_runs_are_one_error(tmp_path):
    with pytest.raises(DataError, match="No runs in"):
        read_runs([tmp_path])


def test_all_labels_count_as_many_as_there_are(tmp_path):
    make_run(tmp_path / "a", "SGAN", None, 0, 0.8)
    make_run(tmp_path / "b", "SGAN", 50, 0, 0.7)
    summary = summarize(read_runs([tmp_path]))
    assert summary[["data.num_labeled", "runs"]].values.tolist() == [[50, 1], [77, 1]]
    assert swept_keys(summary) == ["data.num_labeled"]


def test_a_setting_that_a_model_ignores_makes_no_groups_of_it(tmp_path):
    for iterations in (100, 200):
        for model in ("SGAN", "Net"):
            folder = tmp_path / f"{model}{iterations}"
            make_run(folder, model, 50, 0, 0.8, iterations=iterations)
    names = [
        group_name({key: row[key] for key in ("model", "iterations")})
        for row in records(summarize(read_runs([tmp_path])))
    ]
    assert sorted(names) == ["model=Net", "model=SGAN iterations=100", "model=SGAN iterations=200"]


def test_differences_are_paired_by_seed_and_shared_settings(tmp_path):
    # Seeds differ much, models do not: only pairs give the narrow interval.
    sgan = {(50, 0): 0.50, (50, 1): 0.70, (50, 2): 0.93, (50, 3): 0.10, (100, 0): 0.9}
    net = {(50, 0): 0.40, (50, 1): 0.61, (50, 2): 0.82, (50, 4): 0.99, (100, 0): 0.8}
    for model, accuracies in (("SGAN", sgan), ("Supervised", net)):
        for (labels, seed), accuracy in accuracies.items():
            make_run(tmp_path / f"{model}{labels}{seed}", model, labels, seed, accuracy)
    pairs, single = records(paired_differences(read_runs([tmp_path])))
    assert pairs["difference"] == "SGAN − Supervised"
    assert (pairs["data.num_labeled"], pairs["pairs"]) == (50, 3)
    differences = [0.10, 0.09, 0.11]
    mean = sum(differences) / 3
    std = math.sqrt(sum((value - mean) ** 2 for value in differences) / 2)
    half = 4.302653 * std / math.sqrt(3)
    assert (pairs["mean"], pairs["std"]) == pytest.approx((mean, std))
    assert (pairs["low"], pairs["high"]) == pytest.approx((mean - half, mean + half), abs=1e-6)
    assert (single["data.num_labeled"], single["pairs"]) == (100, 1)
    assert single["mean"] == pytest.approx(0.1)
    assert math.isnan(single["low"])


def test_a_setting_of_one_model_alone_pairs_each_value_with_the_other_model(tmp_path):
    for rate, accuracy in ((0.1, 0.8), (0.2, 0.9)):
        settings = {"labeled_learning_rate": rate}
        for seed in (0, 1):
            folder = tmp_path / f"{rate}{seed}"
            make_run(folder, "SGAN", 50, seed, accuracy + 0.01 * seed, settings, iterations=rate)
    for seed in (0, 1):
        make_run(tmp_path / str(seed), "Supervised", 50, seed, 0.7 + 0.01 * seed)
    first, second = records(paired_differences(read_runs([tmp_path])))
    assert (first["iterations"], first["pairs"]) == (0.1, 2)
    assert first["mean"] == pytest.approx(0.1)
    assert (second["iterations"], second["mean"]) == (0.2, pytest.approx(0.2))


def test_a_model_is_named_by_its_configuration_where_hydra_recorded_it(tmp_path):
    records_of_hydra = {
        "plain": "hydra: {runtime: {choices: {model: sgan}}}",
        "improved": "hydra: {runtime: {choices: {model: tuned/improved_sgan}}}",
        "not recorded": None,
        "damaged": "hydra: [",
        "odd": "hydra: {runtime: 1}",
        "a number": "hydra: {runtime: {choices: {model: 1}}}",
    }
    for name, record in records_of_hydra.items():
        folder = make_run(tmp_path / name, "SGAN", 50, 0, 0.8)
        if record is not None:
            (folder / ".hydra").mkdir()
            (folder / ".hydra" / "hydra.yaml").write_text(record)
    runs = read_runs([tmp_path]).set_index("run")
    assert runs.model.to_dict() == {
        "plain": "sgan",
        "improved": "tuned/improved_sgan",
        "not recorded": "SGAN",
        "damaged": "SGAN",
        "odd": "SGAN",
        "a number": "SGAN",
    }
    assert set(runs.status) == {"finished"}


def test_two_classes_of_one_name_are_two_groups(tmp_path):
    for model in ("Net", "OtherNet"):
        folder = make_run(tmp_path / model, model, 50, 0, 0.8)
        (folder / ".hydra").mkdir()
        record = "hydra: {runtime: {choices: {model: mine}}}"
        (folder / ".hydra" / "hydra.yaml").write_text(record)
    groups = records(summarize(read_runs([tmp_path])))
    assert [group["model"] for group in groups] == ["mine", "mine"]
    assert [group["runs"] for group in groups] == [1, 1]


def test_one_model_has_no_difference(tmp_path):
    make_run(tmp_path / "a", "SGAN", 50, 0, 0.8)
    make_run(tmp_path / "b", "Supervised", 50, 0)
    assert len(paired_differences(read_runs([tmp_path]))) == 0


def test_of_equal_settings_the_one_with_the_fewest_values_tells_groups_apart(tmp_path):
    for index, (model, rate, joint) in enumerate([("A", 1, None), ("B", 2, 0), ("B", 3, 1)]):
        settings = {"learning_rate": rate} | ({} if joint is None else {"joint": joint})
        make_run(tmp_path / str(index), model, 50, 0, accuracy=0.5, model_settings=settings)
    assert varied_settings(read_runs([tmp_path])) == ["model", "model.joint"]


def test_settings_that_vary_only_together_are_one(tmp_path):
    settings = [("A", {"learning_rate": 1}), ("B", {"learning_rate": 2}), ("B", {"x": 1, "y": 1})]
    settings.append(("B", {"x": 2, "y": 2, "learning_rate": 2}))
    for index, (model, of_model) in enumerate(settings):
        make_run(tmp_path / str(index), model, 50, seed=0, accuracy=0.5, model_settings=of_model)
    runs = read_runs([tmp_path])
    assert varied_settings(runs) == ["model", "model.x"]
    summary = summarize(runs)
    assert len(summary) == 4
    assert summary.runs.sum() == 4
