"""The errors a person can meet. The class says what to do, the message what happened and where.

Each error ends the command with its own exit code and one line on stderr; a traceback is shown only
with `-v`, or for `Bug`, which is ours to mend.
"""

from __future__ import annotations


class EventmintError(Exception):
    """The root: something the user is told about in one line.

    Args:
        message: what happened, where, what was expected.
        hint: what to do next, as a sentence or a command.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows, which asks by this name: the one line, no traceback."""
        return [f"{type(self).__name__}: {self}"]


class FixSettings(EventmintError):
    """The command line or the configuration is wrong; nothing was touched."""

    exit_code = 2


class FixData(EventmintError):
    """The data, or the disk it lies on, needs attention before a run can succeed."""


class LawBroken(FixData):
    """The books do not balance: a table, a day and a difference are named."""


class TryAgain(EventmintError):
    """Another writer was faster or a resource failed for a moment; a new run is safe and enough."""


class LockHeld(TryAgain):
    """Another run is at work on this lake."""

    exit_code = 4


class StalePlan(EventmintError):
    """A run was planned, and what the plan rests on has changed since; nothing was touched."""

    exit_code = 8


class Bug(EventmintError):
    """Something we did not foresee."""

    _render_traceback_ = None  # type: ignore[assignment]  # its traceback is what helps
