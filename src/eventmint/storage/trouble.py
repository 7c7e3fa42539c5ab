"""Trouble with this machine, full disks and denied folders above all, told as something to mend.

Python, pyarrow, DuckDB and SQLite each word it differently, and each raises an error of its own kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eventmint.errors import EventmintError, FixData, TryAgain

_AGAIN = "then run again: nothing is lost."
_MORE_MEMORY = f"set run.memory_mb higher or run.workers lower, {_AGAIN}"
_DAMAGE = "`eventmint verify --deep` names what is damaged."
_NO_MEMORY = (
    *("Out of Memory", "Cannot allocate memory", "failed to map segment"),
    *("can't start new thread", "Failed to launch worker thread"),
)
_FULL = ("No space left", "disk is full", "Disk quota exceeded")
_HINTS = (
    (
        ("Permission denied", "Read-only file system", "readonly database", "unable to open database file"),
        f"Grant access, {_AGAIN}",
    ),
    (("File too large",), f"Raise the limit on the size of files (ulimit -f), {_AGAIN}"),
    (("Too many open files",), f"Raise the limit on open files (ulimit -n), {_AGAIN}"),
    (("Input/output error", "disk I/O error"), f"Check the disk, {_AGAIN}"),
)


@contextmanager
def telling_trouble() -> Iterator[None]:
    """Turn what the machine refuses into errors that say what to do.

    Raises: FixData or TryAgain; what is no trouble with the machine passes as it is.
    """
    try:
        yield
    except Exception as err:
        told = machine_trouble(err)
        if told is None:
            raise
        raise told from err


def machine_trouble(err: Exception) -> EventmintError | None:
    """Return what the disk or the memory has to do with an exception; None where that is nothing."""
    if isinstance(err, EventmintError):
        return None
    from_database = getattr(err, "orig", None)  # SQLAlchemy's own text is the statement, and a link
    text = " ".join(str(from_database or err).split()).removesuffix(".")
    if isinstance(err, MemoryError) or any(words in text for words in _NO_MEMORY):
        said = text.partition(" Possible solutions")[0]  # DuckDB's are settings that we do not have
        words = f"not enough memory: {said}." if said else "not enough memory."
        return FixData(words, _MORE_MEMORY.capitalize())
    if any(words in text for words in _FULL):
        return FixData(f"the disk is full: {text}.", f"Make room, {_AGAIN}")
    if "Failed to read file" in text:
        # Of a damaged file and of too little memory for it DuckDB says the same.
        return FixData(f"a file of the lake cannot be read: {text}.", f"{_DAMAGE} If not, {_MORE_MEMORY}")
    if "database is locked" in text:
        return TryAgain("the catalog is in use by another program.", "Run again in a minute.")
    told = _place_and_words(err, from_database, text)
    if told is None:
        return None
    return FixData(told, next((hint for words, hint in _HINTS if any(word in told for word in words)), ""))


def _place_and_words(err: Exception, from_database: object, text: str) -> str | None:
    if isinstance(err, OSError):
        return f"{err.filename}: {err.strerror}." if err.filename and err.strerror else f"{text}."
    if type(from_database).__name__ == "OperationalError":
        return f"the catalog: {text}."
    return f"{text}." if text.startswith("IO Error") else None
