"""How a run tells what it does while it does it. The stages report; who watches decides how it looks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

log = logging.getLogger("eventmint")
_run: ContextVar[str] = ContextVar("run", default="")


class Progress(Protocol):
    """A watcher of a run."""

    def start(self, stage: str, files: int, size_bytes: int) -> None:
        """A stage begins: so many files of so many compressed bytes; 0 where it is not counted in files."""

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        """So much more is done."""

    def finish(self, stage: str, note: str) -> None:
        """A stage has ended."""


class Silent:
    """Watches without a word, apart from the log."""

    def start(self, stage: str, files: int, size_bytes: int) -> None:
        log.debug("stage=%s files=%d bytes=%d", stage, files, size_bytes)

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        pass

    def finish(self, stage: str, note: str) -> None:
        log.debug("stage=%s %s", stage, note)


# ---- lines of a log ----------------------------------------------------------------------------------------


def run_name(started: datetime) -> str:
    """Return what a run is called while it lasts; its id adds the number of its last batch."""
    return f"{started:%Y%m%dT%H%M%S.%f}"


@contextmanager
def run_named(run_id: str) -> Iterator[None]:
    """Let every line that is logged meanwhile carry this name."""
    token = _run.set(run_id)
    try:
        yield
    finally:
        _run.reset(token)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: 1 line, 2,000 lines."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def fields(**values: Any) -> dict[str, Any]:
    """Return what a line of a log says beside its message, as the `extra` of a logger's call."""
    return {"fields": values}


class JsonLines(logging.Formatter):
    """A line of a log as one JSON object: `time`, `level`, `logger`, `message`, `run_id` and its fields.

    In ASCII, so that nothing from data can move a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if run_id := _run.get():
            line["run_id"] = run_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
