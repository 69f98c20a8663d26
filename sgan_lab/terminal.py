"""Log messages on the terminal, above a progress bar where there is one."""

import logging

import rich


class TerminalHandler(logging.Handler):
    """Prints messages as they are, through rich's console so that they do not tear its bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        rich.get_console().print(self.format(record), soft_wrap=True, markup=False, highlight=False)
