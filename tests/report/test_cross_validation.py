import json
import re
from math import sqrt

import pytest

from sgan_lab.report.cross_validation import cross_validations
from sgan_lab.report.page import print_summary, write_report
from sgan_lab.report.runs import read_runs, summarize, varied_settings
from tests.builders import change_metrics, make_image_folder, make_run
from tests.processes import succeed

NAMES = ["cat", "[b]"]
CONFUSIONS = [[[4, 1], [0, 3]], [[5, 0], [1, 1]], [[2, 2], [0, 2]]]


def make_folds(folder):
    """Three folds of each of two seeds, the last one not finished."""
    for seed, fold in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]:
        run = folder / f"{seed}-{fold}"
        result = None if (seed, fold) == (1, 2) else 0.5 + 0.1 * fold
        data = {"_target_": "sgan_lab.data.image_folder.image_folder", "folds": 3, "fold": fold}
        make_run(run, "Net", 20, seed, result, data=data)
        if result is not None:
            classes = dict.fromkeys(NAMES, 0.5)
            change_metrics(run, test_confusion=CONFUSIONS[fold], test_class_accuracy=classes)
    return folder


def test_the_predictions_of_all_folds_are_one_result(tmp_path, capsys):
    runs = read_runs([make_folds(tmp_path)])
    assert varied_settings(runs) == ["model"]
    assert summarize(runs)["mean"].tolist() == pytest.approx([(0.6 + 0.55) / 2])
    first, second = cross_validations(runs)
    assert first.confusion.tolist() == [[11, 3], [1, 6]]
    assert first.class_names == NAMES
    row = first.row()
    assert (row["folds"], row["images"], row["seed"]) == ("3 of 3", "21", "0")
    assert second.row()["folds"] == "2 of 3"
    p, n, z = 17 / 21, 21, 1.959964
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert row["accuracy"] == f"{100 * p:.2f}%"
    low, high = f"{100 * (center - half):.2f}%", f"{100 * (center + half):.2f}%"
    assert row["95 % interval"].split("\xa0") == [low, "to", high]
    assert row["balanced accuracy"] == f"{50 * (11 / 14 + 6 / 7):.2f}%"

    write_report(runs, tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert report.count("folds_") == 2
    section = report.split("## Cross-validation, all folds\n")[1].split("\n## ")[0]
    assert "| 3 of 3 | 21 | 80.95% |" in section
    print_summary(runs)
    assert "3 of 3 folds, 21 images: accuracy 80.95%" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("confusion", [None, [[1, 2]], [[1, -1], [0, 1]], [[0, 0], [0, 0]], "x"])
def test_a_fold_with_a_damaged_matrix_is_in_no_result(tmp_path, confusion):
    make_folds(tmp_path)
    change_metrics(tmp_path / "0-1", test_confusion=confusion)
    runs = read_runs([tmp_path])
    assert runs.set_index("run").status["0-1"] == "damaged"
    assert cross_validations(runs)[0].finished == 2


def test_other_runs_have_none(tmp_path):
    assert cross_validations(read_runs([make_run(tmp_path / "a", "Net", 50, 0, 0.5)])) == []
    data = {"_target_": "sgan_lab.data.image_folder.image_folder", "folds": None, "fold": 0}
    make_run(tmp_path / "b", "Net", 50, 0, 0.5, data=data)
    assert cross_validations(read_runs([tmp_path])) == []


@pytest.mark.slow
def test_a_folder_without_test_pictures_is_cross_validated(command_line, tmp_path):
    root = make_image_folder(tmp_path / "images")
    for picture in [*root.glob("test/*/*.png")]:
        picture.unlink()
    for folder in [*root.glob("test/*"), root / "test"]:
        folder.rmdir()
    result = succeed(
        command_line(
            *["experiment=cross_validate", "data.root=images", "data.folds=2", "data.fold=0,1"],
            *["model=supervised", "model.epochs=1", "data.batch_size=2", "hydra.sweep.dir=sweep"],
            *["num_threads=1", "trainer=cpu"],
        )
    )
    runs = [json.loads(file.read_text()) for file in (tmp_path / "sweep").glob("*/metrics.json")]
    assert sorted(run["test_images"] for run in runs) == [3, 3]
    correct = sum(run["test_images"] - run["test_errors"] for run in runs)
    expected = rf"2 of 2 folds, 6 images: accuracy {100 * correct / 6:.2f}%"
    assert re.search(expected, " ".join(result.stdout.split()))
