import itertools
import re
import subprocess
import sys

import pandas as pd
import pytest

from sgan_lab.jobs.status import Status, write_status
from sgan_lab.report.page import print_summary, short_names, write_report
from sgan_lab.report.runs import read_runs
from tests.builders import change_metrics, make_run, make_sweep, write_events


def part(report, heading):
    """A part of the Markdown report."""
    return report.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_the_report_has_every_run_group_difference_and_figure(tmp_path):
    sweep = make_sweep(tmp_path / "sweep")
    for model in ("SGAN", "Net"):
        loss = {"labeled/class_loss": {10: 2.0, 20: 0.1}}
        write_events(sweep / f"{model}500", loss, images=[10, 20] if model == "SGAN" else [])
    folder = tmp_path / "report"
    folder.mkdir()
    write_report(read_runs([sweep]), folder)

    assert len(pd.read_csv(folder / "runs.csv")) == 12
    assert pd.read_csv(folder / "summary.csv")["mean"].tolist() == pytest.approx(
        [0.61, 0.81, 0.705, 0.91]
    )
    assert pd.read_csv(folder / "differences.csv").pairs.tolist() == [3, 2]
    report = (folder / "report.md").read_text()
    assert "Runs: 12: 11 finished, 1 no result" in report
    assert "data.num_labeled = 50, 100; model = Net, SGAN; seed = 0, 1, 2" in report
    assert re.search(
        r"\| 100 +\| Net +\| 2 +\| 70.50% +\| 0.71% +\|",
        part(report, "Groups of runs, test accuracy"),
    )
    assert re.search(
        r"\| Net − SGAN +\| 50 +\| 3 +\| -20.00 ", part(report, "Paired difference, test accuracy")
    )
    assert "Net1002" in part(report, "Runs without a result, in no mean")
    assert "SGAN1000" not in part(report, "Runs without a result, in no mean")
    assert part(report, "Runs").count("| finished") == 11
    pictures = re.findall(r"!\[.+\]\((.+)\)", report)
    assert pictures == [
        "figures/accuracy_data.num_labeled.png",
        "figures/accuracy_model.png",
        "figures/difference_data.num_labeled.png",
        "figures/curves_Net.png",
        "figures/curves_SGAN.png",
        "figures/samples.png",
    ]
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    page = (folder / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(pictures)
    assert page.count("<img alt=") == len(pictures)
    assert not re.search(r"https?:|src=\"(?!data:)|<link|<script", page)
    assert {path.name for path in folder.iterdir()} == {
        *("runs.csv", "summary.csv", "differences.csv"),
        *("report.md", "report.html", "figures"),
    }


def test_values_are_escaped_wherever_they_come_from(tmp_path):
    odd = "<script>alert(1)</script>|$\\bad$[red]"
    for seed, note in enumerate((odd, "plain")):
        make_run(tmp_path / f"<b>odd{seed}", "SGAN", 50, 0, 0.8, **{"../<i>|": note})
    write_status(make_run(tmp_path / "failed", "SGAN", 50, 1), Status("failed", odd, 5, 1000))
    write_report(read_runs([tmp_path]), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not re.search("<script|<b>|<i>", page)
    assert "&lt;b&gt;odd0" in page
    assert page.count("&lt;script&gt;") == 4  # what was swept, its group, its run, the error
    assert "<td>5\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}1,000</td>" in page
    markdown = (tmp_path / "report.md").read_text()
    assert not re.search(r"(?<!\\)<", markdown)
    (row,) = [
        line
        for line in markdown.splitlines()
        if line.startswith("| [failed](failed) |") and "1,000" in line
    ]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert len(list((tmp_path / "figures").iterdir())) == 1


def test_runs_with_warnings_are_marked(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / str(seed), "SGAN", 50, seed, 0.8)
    change_metrics(tmp_path / "1", warnings={"identical_images": 1600, "<b>": 5})
    write_report(read_runs([tmp_path]), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "2: 2 finished; 1 with warnings" in page
    assert page.count("identical_images at 1,600, &lt;b&gt; at 5") == 1


def test_the_terminal_shows_the_groups_as_they_are(tmp_path, capsys):
    for number, note in enumerate(("[red]", "[bold]", "\x1b]0;title\x07")):
        make_run(tmp_path / str(number), "SGAN", 50, 0, 0.8, note=note)
    print_summary(read_runs([tmp_path]))
    shown = capsys.readouterr().out
    assert "[bold]" in shown
    assert "]0;title" in shown
    assert not set("\x1b\x07") & set(shown)


def test_a_narrow_terminal_shows_every_swept_value_whole(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    keys = ("unlabeled_learning_rate", "feature_matching_weight")
    for number, values in enumerate(itertools.product((0.00012345, 0.00054321), (0.25, 0.75))):
        for seed in (0, 1):
            settings = dict(zip(keys, values, strict=True))
            make_run(tmp_path / f"{number}{seed}", "SGAN", 50, seed, 0.8 + seed / 50, settings)
    print_summary(read_runs([tmp_path]))
    make_run(tmp_path / "long", "SGAN", 50, 0, 0.8, {keys[0]: "a" * 100})
    print_summary(read_runs([tmp_path]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if "0.00054321" in line and "0.25" in line][:1]
    assert "81.00%" in row
    assert "68.29% to 93.71%".replace(" ", "\N{NO-BREAK SPACE}") in row
    assert sum(line.count("a") for line in lines if "aaa" in line) == 100


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["data.num_labeled", "model.learning_rate"], ["num_labeled", "learning_rate"]),
        (["a.x.rate", "b.x.rate", "y.rate"], ["a.x.rate", "b.x.rate", "y.rate"]),
        (["model", "old.model"], ["model", "old.model"]),
    ],
)
def test_settings_are_named_by_what_tells_them_apart(keys, names):
    assert short_names(keys) == names


def test_no_cell_of_the_tables_is_a_formula(tmp_path):
    for seed, note in enumerate(("=1+1", "-a", "-5", -0.5)):
        make_run(tmp_path / f"=run{seed}", "SGAN", 50, 0, 0.8, **{"=note": note})
    write_report(read_runs([tmp_path]), tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert runs.run.tolist() == ["'=run0", "'=run1", "'=run2", "'=run3"]
    assert runs["'=note"].tolist() == ["'=1+1", "'-a", "-5", "-0.5"]
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["'=note"].tolist() == ["-0.5", "-5", "'-a", "'=1+1"]
    assert summary["mean"].tolist() == [0.8] * 4


def test_models_alone_are_compared_without_a_figure_against_labels(tmp_path):
    for model in ("SGAN", "Supervised"):
        make_run(tmp_path / model, model, 50, 0, 0.8)
    write_report(read_runs([tmp_path]), tmp_path)
    assert "| SGAN − Supervised |" in (tmp_path / "report.md").read_text()
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["accuracy_model.png"]


def test_a_setting_may_be_a_number_here_and_text_there(tmp_path):
    for note in (None, 3, "b"):
        make_run(tmp_path / str(note), "SGAN", 50, 0, 0.8, note=note)
    write_report(read_runs([tmp_path]), tmp_path)
    assert "Swept: note = 3, b, null\n" in (tmp_path / "report.md").read_text()


def test_a_report_without_any_result_is_written(tmp_path):
    make_run(tmp_path / "run", "SGAN", 50, 0)
    write_report(read_runs([tmp_path]), tmp_path)
    assert "no result" in (tmp_path / "report.html").read_text()


def test_a_report_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    runs = read_runs([make_sweep(tmp_path / "sweep")])
    (tmp_path / "report").mkdir()
    write_report(runs, tmp_path / "report")
    before = {path: path.read_bytes() for path in (tmp_path / "report").rglob("*.*")}

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("sgan_lab.report.page.render", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(runs.head(3), tmp_path / "report")
    assert {path: path.read_bytes() for path in (tmp_path / "report").rglob("*.*")} == before


@pytest.mark.slow
def test_the_command_line_reports_or_says_what_is_wrong(tmp_path):
    def report(*arguments):
        command = [sys.executable, "-m", "sgan_lab", "report", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    make_run(tmp_path / "runs" / "run", "SGAN", 50, 0, 0.8)
    output = tmp_path / "new" / "report"
    result = report(tmp_path / "runs", "--output", output)
    assert result.returncode == 0, result.stderr
    assert "80.00%" in result.stdout
    assert (output / "report.html").is_file()
    result = report(output)
    assert (result.returncode, result.stderr) == (1, f"No runs in {output}.\n")
    result = report(tmp_path / "runs", "--metric", "acuracy")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("--metric=acuracy: must be one of accuracy, errors, loss, ")


def test_the_metric_that_is_compared_is_a_choice(tmp_path, capsys):
    for model in ("A", "B"):
        for seed in (0, 1):
            folder = make_run(tmp_path / "runs" / f"{model}{seed}", model, 50, seed, 0.8)
            if (model, seed) != ("B", 1):
                change_metrics(folder, test_loss=0.25 if model == "A" else 0.5)
    runs = read_runs([tmp_path / "runs"])
    write_report(runs, tmp_path, "loss")
    print_summary(runs, "loss")
    report = (tmp_path / "report.md").read_text()
    assert "Runs: 4: 4 finished; 1 finished without test loss, in no mean\n" in report
    assert "## Test loss against model" in report
    assert re.search(r"\| A +\| 2 +\| 0.2500 nats +\|", report)
    assert re.search(r"\| A − B +\| 1 +\| -0.2500 +\|", report)
    assert "Unit: nats." in report
    assert pd.read_csv(tmp_path / "summary.csv").runs.tolist() == [2, 1]
    shown = capsys.readouterr().out
    assert "Test loss" in shown
    assert "1 finished without test loss" in shown


def test_no_run_has_the_metric_that_is_compared(tmp_path, capsys):
    make_run(tmp_path / "run", "SGAN", 50, 0, 0.8)
    runs = read_runs([tmp_path])
    write_report(runs, tmp_path, "macro_f1")
    print_summary(runs, "macro_f1")
    assert "1 finished without test macro f1" in (tmp_path / "report.html").read_text()
    assert "1 finished without test macro f1" in capsys.readouterr().out


def test_the_report_names_data_iterations_and_dates(tmp_path):
    for seed, day in enumerate(("02", "01", "03")):
        folder = make_run(tmp_path / str(seed), "SGAN", 50, seed, 0.8)
        change_metrics(folder, date=f"2026-01-{day}T23:00:00+00:00")
        write_status(folder, Status("finished", None, 1000 + seed // 2, 1000 + seed // 2))
    write_report(read_runs([tmp_path]), tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "Data: digits\n" in report
    assert "Iterations: 1,000, 1,001\n" in report
    assert "Date: 2026-01-01 to 2026-01-03\n" in report


def test_the_runs_are_sorted_and_link_to_their_folders(tmp_path):
    names = {"z(1)": (50, 0), "javascript:alert(1)": (50, 10), 'a"b': (100, 2), "c d": (100, 1)}
    for name, (labels, seed) in names.items():
        make_run(tmp_path / "runs" / name, "SGAN", labels, seed, 0.8)
    (tmp_path / "report").mkdir()
    write_report(read_runs([tmp_path / "runs"]), tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    links = re.findall(r'<td><a href="([^"]+)">', page)
    assert links == [
        "../runs/z%281%29",
        "../runs/javascript%3Aalert%281%29",
        "../runs/c%20d",
        "../runs/a%22b",
    ]
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert re.findall(r"\]\((\.\..+?)\)", markdown) == links


def test_values_of_classes_have_a_table(tmp_path):
    for seed in (0, 1):
        folder = make_run(tmp_path / str(seed), "SGAN", 50, seed, 0.8)
        change_metrics(folder, test_class_accuracy={"<b>": 0.5 + seed / 2, "model": 0.25})
    write_report(read_runs([tmp_path]), tmp_path)
    table = part((tmp_path / "report.md").read_text(), "Test class accuracy, mean over seeds")
    assert re.search(r"\| SGAN +\| 75.00% +\| 25.00% +\|", table)
    assert "<th>&lt;b&gt;</th>" in (tmp_path / "report.html").read_text()


def test_a_report_needs_no_torch():
    probe = "import sys, sgan_lab.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_damaged_runs_alone_and_odd_names_are_reported(tmp_path):
    odd = b"\xff".decode(errors="surrogateescape")
    for seed in (0, 1):
        folder = make_run(tmp_path / f"{odd}{seed}", "SGAN", 50, seed, 0.8)
        write_status(folder, Status("finished", error="\ud800"))
        (folder / "config.yaml").unlink()
    write_report(read_runs([tmp_path]), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "?0" in page
    assert "2 damaged" in page
