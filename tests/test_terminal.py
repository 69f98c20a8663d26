import io
import logging

import pytest
import rich
from rich.console import Console

from sgan_lab.errors import UserError
from sgan_lab.jobs.terminal import JobsProgress
from sgan_lab.terminal import TerminalHandler, cell_text, csv_cell, log_to


def test_messages_are_printed_as_they_are(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=output, width=20))
    message = "800 [D loss supervised: 0.1234, acc.: 100.00%] [bold] longer than the terminal"
    TerminalHandler().emit(logging.LogRecord("n", logging.INFO, "p", 1, message, None, None))
    assert output.getvalue() == message + "\n"


def test_jobs_are_shown_while_they_run_and_by_a_line_when_they_have_ended(monkeypatch):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, color_system=None)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    with JobsProgress(2) as progress:
        progress.show("seed=0", 0, 0)
        progress.show("seed=0", 30, 60)
        progress.progress.refresh()
        assert "seed=0 30/60" in output.getvalue()
        output.truncate(0)
        progress.end("seed=0", "seed=0 finished: [b]")
        progress.progress.refresh()
        assert "seed=0 finished: [b]\n" in output.getvalue()
        assert "jobs 1/2" in output.getvalue()


def test_a_run_logs_to_its_file_and_with_its_prefix_to_the_terminal(tmp_path, monkeypatch):
    root, output = logging.getLogger(), io.StringIO()
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=output))
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log_to(tmp_path, "#7 %s ")
    logging.getLogger("sgan_lab").info("100 %% of %d", 3)
    assert output.getvalue() == "#7 %s 100 % of 3\n"
    assert (tmp_path / "run.log").read_text().endswith("[sgan_lab][INFO] 100 % of 3\n")


def test_names_in_messages_and_errors_cannot_command_the_terminal(tmp_path, monkeypatch):
    root, output, name = logging.getLogger(), io.StringIO(), "\x1b]0;title\x07"
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=output))
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log_to(tmp_path)
    logging.getLogger("sgan_lab").warning("%s is left out", name)
    for text in (output.getvalue(), (tmp_path / "run.log").read_text(), str(UserError(name))):
        assert "]0;title" in text
        assert not set("\x1b\x07") & set(text)


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@a", "\t=1", "\r=1", "-"])
def test_a_text_that_begins_as_a_formula_is_quoted(text):
    assert csv_cell(text) == f"'{text}"
    assert cell_text(f"'{text}") == text
    assert cell_text("'a") == "'a"


@pytest.mark.parametrize("value", ["a=1", "", "-1", "+2.5e3", -1.5, 3, None])
def test_other_cells_and_numbers_stay_as_they_are(value):
    assert csv_cell(value) is value
