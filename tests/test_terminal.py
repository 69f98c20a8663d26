import io
import logging

import rich
from rich.console import Console

from sgan_lab.terminal import TerminalHandler


def test_messages_are_printed_as_they_are(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=output, width=20))
    message = "800 [D loss supervised: 0.1234, acc.: 100.00%] [bold] longer than the terminal"
    TerminalHandler().emit(logging.LogRecord("n", logging.INFO, "p", 1, message, None, None))
    assert output.getvalue() == message + "\n"
