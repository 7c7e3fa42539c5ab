"""Watching a command: what it and every process it starts cost, until the last of them has ended.

CPU and bytes written are the kernel's own accounts of the ended processes (`wait4`); memory is sampled: the
resident sets of the whole tree added up, shared pages counted as often as they are shared. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import IO

SAMPLE_SECONDS = 0.05
LONGEST_WORDS = 300
_BLOCK_BYTES = 512
_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Measured:
    """One command: wall and CPU seconds, the largest memory of its tree, bytes handed to the disk.

    Attributes:
        trouble: how it failed, in one line; empty where it succeeded.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    written_mb: float
    trouble: str = ""


def measure(
    command: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 3600
) -> Measured:
    """Run a command to its end and to that of everything it started."""
    _adopt_orphans()
    os.sync()  # what others have left for the disk is not to be paid for by this one
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env={**_as_users_have_it(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        peaks: list[float] = []
        watcher = threading.Thread(target=lambda: peaks.extend(_memory_until_done(process.pid)))
        alarm = threading.Timer(timeout, lambda: os.killpg(process.pid, signal.SIGKILL))
        watcher.start()
        alarm.start()
        try:
            status, usages = _wait_for_all(process.pid)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)  # subprocess need not look for it any more
        wall = time.perf_counter() - started
        watcher.join()
        trouble = f"exit code {process.returncode}: {_last_line(said)}" if process.returncode else ""
    return Measured(
        wall_seconds=wall,
        cpu_seconds=sum(usage.ru_utime + usage.ru_stime for usage in usages),
        peak_mb=max(peaks, default=0.0),
        written_mb=sum(usage.ru_oublock for usage in usages) * _BLOCK_BYTES / 1e6,
        trouble=trouble,
    )


def _as_users_have_it() -> dict[str, str]:
    """The environment, but for what would have Python compile our files anew at each start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def middle(measured: Sequence[Measured]) -> Measured:
    """Return the median of each column; the first trouble that any of them had."""

    def column(name: str) -> float:
        return float(median(getattr(one, name) for one in measured))

    trouble = next((one.trouble for one in measured if one.trouble), "")
    return Measured(
        column("wall_seconds"), column("cpu_seconds"), column("peak_mb"), column("written_mb"), trouble
    )


@cache
def _adopt_orphans() -> None:
    """Have processes whose parent ended become our children: a JVM outlives the Python that started it."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_all(pid: int) -> tuple[int, list[resource.struct_rusage]]:
    _, status, usage = os.wait4(pid, 0)
    usages = [usage]
    while left := [child for child in _children(os.getpid()) if _session(child) == pid]:
        usages += [os.wait4(orphan, 0)[2] for orphan in left]
    return status, usages


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _memory_until_done(pid: int) -> Iterator[float]:
    page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6
    while pages := sum(_resident_pages(root) for root in _roots(pid)):
        yield pages * page_mb
        time.sleep(SAMPLE_SECONDS)


def _roots(pid: int) -> set[int]:
    """A process, and what it left behind when it ended: orphans are ours by then."""
    return {pid, *(child for child in _children(os.getpid()) if _session(child) == pid)}


def _resident_pages(pid: int, parent: int = 0) -> int:
    """Pages of a process and of all below it.

    A child of the very size of its parent has just been forked and still shares everything with it: a JVM
    that starts a small command would otherwise count twice. It may grow while we look, so we look twice.
    """
    before, _ = _pages(parent)
    size, resident = _pages(pid)
    after, _ = _pages(parent)
    own = 0 if min(before, after) <= size <= max(before, after) else resident
    return own + sum(_resident_pages(child, pid) for child in _children(pid))


def _pages(pid: int) -> tuple[int, int]:
    """Pages of the address space of a process, and how many of them are in memory."""
    try:
        size, resident = map(int, Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[:2])
    except OSError:
        return 0, 0
    return size, resident


def _children(pid: int) -> list[int]:
    """The children of all threads of a process; none where it ends while we look."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                text = (task / "children").read_text(encoding="ascii")
                found += map(int, text.split())
    return found


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:LONGEST_WORDS] if lines else "it said nothing"
