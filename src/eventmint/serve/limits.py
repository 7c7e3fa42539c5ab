"""Limits on a statement that a person wrote: its time and its memory.

DuckDB is interrupted when the time is over, and keeps its own account of memory. Both have holes: a function
over one long text looks at no interrupt and allocates outside the account. The command line, which does
nothing else in its process, therefore limits the process as well.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from eventmint.errors import FixSettings

_GRACE_SECONDS = 5.0
# Allocators and threads reserve address space that nobody fills.
_RESERVED_BYTES = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What one statement may take.

    Attributes:
        seconds: 0 is no limit.
        memory_mb: more is refused.
    """

    seconds: float = 60.0
    memory_mb: int = 1000

    def overtime(self) -> FixSettings:
        """Return the error of a statement that took too long."""
        return FixSettings(
            f"The query was stopped after {self.seconds:g} s.",
            "Ask for less, or set query.max_seconds higher (0 for no limit).",
        )

    def too_large(self) -> FixSettings:
        """Return the error of a statement that needs too much memory."""
        return FixSettings(
            f"The query needs more than {self.memory_mb:,} MB of memory.",
            "Ask for less, or set query.memory_mb higher.",
        )


class Interruptible(Protocol):
    def interrupt(self) -> None: ...


@contextmanager
def interrupting(connection: Interruptible, seconds: float) -> Iterator[Event]:
    """Interrupt what runs on a connection when the time is over; the event then is set."""
    is_over = Event()

    def interrupt() -> None:
        is_over.set()
        connection.interrupt()

    with _alarm(seconds, interrupt, again_seconds=0.1):  # what starts after an interrupt would not feel it
        yield is_over


@contextmanager
def process_limits(limits: Limits, on_overdue: Callable[[], None]) -> Iterator[None]:
    """Limit the memory of this process, and end it when a statement does not heed its interrupt."""

    def end() -> None:
        on_overdue()
        os._exit(FixSettings.exit_code)

    seconds = limits.seconds and limits.seconds + _GRACE_SECONDS
    with _memory_limit(limits.memory_mb << 20), _alarm(seconds, end):
        yield


@contextmanager
def _alarm(seconds: float, ring: Callable[[], None], again_seconds: float | None = None) -> Iterator[None]:
    done = Event()

    def watch() -> None:
        wait: float | None = seconds
        while wait is not None and not done.wait(wait):
            ring()
            wait = again_seconds

    watcher = Thread(target=watch, name="query limit", daemon=True)
    if seconds:
        watcher.start()
    try:
        yield
    finally:
        done.set()
        if seconds:
            watcher.join()


@contextmanager
def _memory_limit(size_bytes: int) -> Iterator[None]:
    """Let this process hold so much more than now; no limit where the system cannot tell or set it."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(OSError, ValueError):
        # Twice: what DuckDB accounts for, and the result on its way to the reader.
        wanted = _data_bytes() + 2 * size_bytes + _RESERVED_BYTES
        hard = before[1]
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """Raises: OSError: not Linux."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * resource.getpagesize()
