"""The result goes to stdout, talk and errors to stderr; neither fails with a traceback.

Text that comes from data is never trusted: what is printed has its control characters spelled out.

stderr may be lines of JSON instead, for what collects logs: then errors and talk are such lines, too.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventmint.errors import EventmintError
from eventmint.run_log import JsonLines, fields

SCHEMA_VERSION = 1
talk = logging.getLogger("eventmint.cli")


def plain(text: str) -> str:
    """Return text that is safe to print: line breaks, escape sequences and hidden marks are spelled out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode()


def prepare_streams(is_verbose: bool) -> None:
    """Make both streams able to print anything, and let warnings and logs through only if asked."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: no file of ours may get its number
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - to the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if is_verbose:
        logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("eventmint").setLevel(logging.DEBUG)
    elif not sys.warnoptions:
        warnings.simplefilter("ignore")  # they speak to developers


class _JsonOnStderr(logging.Handler):
    """Whatever is logged, as a line of JSON on stderr."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        _write_line(self.format(record))


@contextmanager
def talking_json(is_verbose: bool, is_quiet: bool) -> Iterator[None]:
    """Let stderr be lines of JSON."""
    handler = _JsonOnStderr(logging.WARNING if is_quiet else logging.DEBUG)
    root, ours = logging.getLogger(), logging.getLogger("eventmint")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG if is_verbose else logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        root.removeHandler(handler)


def talks_json() -> bool:
    """Whether stderr is lines of JSON."""
    return any(isinstance(handler, _JsonOnStderr) for handler in logging.getLogger().handlers)


@dataclass
class Interrupts:
    """How often Ctrl-C was pressed: the first ends the work as KeyboardInterrupt, the next one everything.

    Ending at once is safe: what a run leaves behind, the next one repairs.
    """

    on_first: Callable[[], None]
    count: int = 0

    def __call__(self, _number: int, _frame: object) -> None:
        self.count += 1
        if self.count > 1:
            from multiprocessing import active_children  # slow to import

            for child in active_children():
                child.kill()
            os._exit(130)
        self.on_first()
        raise KeyboardInterrupt


@contextmanager
def counting_interrupts(on_first: Callable[[], None]) -> Iterator[Interrupts]:
    """Watch Ctrl-C, unless the caller has switched it off (nohup)."""
    interrupts = Interrupts(on_first)
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def write_out(pieces: Iterable[str]) -> None:
    """Write the result; a reader who has seen enough (`| head`) is no error.

    Raises: OSError: it cannot be written (a full disk).
    """
    try:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except OSError as err:
        # What is left in the buffer must not fail once more when Python exits.
        with suppress(OSError, ValueError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if not isinstance(err, BrokenPipeError):
            raise OSError(err.errno, err.strerror, "output") from err


def write_error(text: str) -> None:
    """Write a line of talk; where nobody listens any more it is lost."""
    if talks_json():
        talk.info("%s", text)
    else:
        _write_line(text)


def tell_error(error: EventmintError, wants_json: bool, traceback: str = "") -> None:
    """Write an error as one line: `error: <message> <hint>`, or as a JSON document.

    Args: traceback: where it comes from, for those who want to know.
    """
    if talks_json():
        where = {"traceback": traceback} if traceback else {}
        talk.error("%s", error.message, extra=fields(**error_document(error), **where))
        return
    if traceback:
        _write_line(traceback.rstrip())
    _write_line(json.dumps(error_document(error)) if wants_json else plain(f"error: {error}"))


def _write_line(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def error_document(error: EventmintError) -> dict[str, Any]:
    body = {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    return {"schema_version": SCHEMA_VERSION, "error": body}
