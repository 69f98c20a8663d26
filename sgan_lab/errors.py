"""Errors a user can mend: each message is complete, a traceback would add nothing."""

from sgan_lab.terminal import printable


class UserError(Exception):
    """Something outside the program is wrong; the message is one line that says what to do."""

    def __str__(self) -> str:  # messages hold names of files and classes
        return printable(super().__str__())


def reason(error: BaseException) -> str:
    """What an error says, on one line; the name of its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


class ConfigError(UserError):
    """A configuration value is not allowed; the message names key, value and what is allowed."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key}={value}: {allowed}")


class DataError(UserError):
    """A data file is missing or damaged; the message names it."""


class NonFiniteLossError(UserError):
    """A loss became infinite or not a number during training."""


class InUseError(UserError):
    """Another process works in the folder of a run or sweep; the message names it."""


class JobError(UserError):
    """A job of a sweep has failed; its run.log holds what is known."""


class ExportError(UserError):
    """A classifier cannot be exported; the message says why."""
