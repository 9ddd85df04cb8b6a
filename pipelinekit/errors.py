"""The exceptions that leave a public function. The class says what a caller can do about it."""

from __future__ import annotations


class PipelinekitError(Exception):
    """Base of all errors raised on purpose; `help` is the next step, an action."""

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class Unreachable(PipelinekitError):
    """Something outside did not answer; trying again may help. Exit code 3."""


class Refused(PipelinekitError):
    """Something outside answered no; trying the same again won't help. Exit code 3."""


class UsageError(PipelinekitError):
    """The command or call was put wrongly, or found nothing to work on. Exit code 2."""


class Bug(PipelinekitError):
    """A broken invariant of our own. Exit code 4."""
