"""Make the N-th call of this process to the disk fail: a shim over everything by which a run reads or writes.

Files of Python (`open`, `io`, `os`, and so `pathlib` and `shutil`), Parquet files of pyarrow, the metadata
files of PyIceberg, statements of DuckDB and of the catalog in SQLite. A call fails before it has done
anything or, as when a reply is lost, after it has done everything. Calls outside of the watched folders do
not count.

The shim is put in place once and for good: do it in a process that ends with the run.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Self

import duckdb
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
ONCE, FOR_GOOD, DONE = HOWS = ("once", "for good", "done but failed")
# Each library words it in its own way.
_SQLITE = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EACCES: "unable to open database file",
}
_PATH_CALLS = (
    "listdir", "lstat", "mkdir", "open", "remove", "rename", "replace", "rmdir", "scandir", "stat", "unlink",
    "utime",
)  # fmt: skip
_HANDLE_CALLS = ("fsync", "sendfile")
_FILE_CALLS = frozenset({"read", "readinto", "write", "flush", "close"})
_SOURCES = Path(__file__).resolve().parents[2] / "src"


@dataclass
class Fault:
    """Which call fails, and how.

    Attributes:
        number: of the call, counted from 1; 0 for none.
        how: `once`; `for good`: this call and all after it; `done but failed`: once, after its effect.
        code: the errno.
    """

    number: int = 0
    how: str = ONCE
    code: int = errno.EIO


@dataclass
class Shim:
    """Counts the calls, and notes which operation each is and which line of ours it comes from."""

    folders: tuple[str, ...]
    fault: Fault = field(default_factory=Fault)
    sites: list[str] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.RLock)
    _inside: Any = field(default_factory=threading.local)

    def call(self, operation: str, real: Callable[[], Any], error: Callable[[int], Exception]) -> Any:
        """Make a call, or have it fail. What it calls itself on its way does not count."""
        if getattr(self._inside, "busy", False):
            return real()
        with self._lock:
            self.sites.append(f"{operation} in {_caller()}")
            number = len(self.sites)
        fault = self.fault
        hits = number == fault.number or (fault.how == FOR_GOOD and 0 < fault.number < number)
        if hits and fault.how != DONE:
            raise error(fault.code)
        self._inside.busy = True
        try:
            done = real()
        finally:
            self._inside.busy = False
        if hits:
            raise error(fault.code)
        return done

    def watches(self, place: object) -> bool:
        if not isinstance(place, str | os.PathLike):
            return False
        path = os.fspath(place)
        return os.fsdecode(path).startswith(self.folders) if Path(os.fsdecode(path)).is_absolute() else False


def _caller() -> str:
    """The innermost line of ours that this call comes from; in a thread of PyIceberg, its function."""
    frame: FrameType | None = sys._getframe(2)
    vendor = "a thread"
    while frame is not None:
        file, function = Path(frame.f_code.co_filename), frame.f_code.co_name
        if file.is_relative_to(_SOURCES):
            return f"{file.stem}.{function}:{frame.f_lineno}"
        if vendor == "a thread" and "pyiceberg" in file.parts:
            vendor = f"pyiceberg {file.stem}.{function}"
        frame = frame.f_back
    return vendor


def _os_error(place: object = None) -> Callable[[int], Exception]:
    def made(code: int) -> Exception:
        return OSError(code, os.strerror(code), *([os.fspath(place)] if place is not None else []))  # type: ignore[call-overload]

    return made


def _arrow_error(code: int) -> Exception:
    return OSError(code, f"Error writing bytes to file. Detail: [errno {code}] {os.strerror(code)}")


def _duckdb_error(code: int) -> Exception:
    return duckdb.IOException(f'IO Error: Could not write file "x": {os.strerror(code)}')


def _sqlite_error(code: int) -> Exception:
    return sqlite3.OperationalError(_SQLITE[code])


def install(shim: Shim) -> None:
    _install_python(shim)
    _install_arrow(shim)
    _install_iceberg(shim)
    _install_duckdb(shim)
    _install_sqlite(shim)


def _set(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


# --- Python -----------------------------------------------------------------------------------------------


class _File:
    """A file of Python whose reads and writes count."""

    def __init__(self, shim: Shim, real: Any) -> None:
        self._shim = shim
        self._real = real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in _FILE_CALLS:
            return found
        return lambda *args: self._shim.call(f"file.{name}", lambda: found(*args), _os_error(self._real.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self.close()
        finally:
            self._real.close()  # also what fails to close is closed

    def __iter__(self) -> Any:
        return iter(self._real)


def _install_python(shim: Shim) -> None:
    real_open = io.open

    def opened(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not shim.watches(file):
            return real_open(file, *args, **kwargs)
        return _File(shim, shim.call("open", lambda: real_open(file, *args, **kwargs), _os_error(file)))

    _set(io, "open", opened)
    _set(builtins, "open", opened)
    for name in _PATH_CALLS:
        _wrap_path_call(shim, name)
    for name in _HANDLE_CALLS:
        _wrap_handle_call(shim, name)


def _wrap_path_call(shim: Shim, name: str) -> None:
    real = getattr(os, name)

    def called(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
        # Within a folder that is being removed, names are relative to its handle.
        if kwargs.get("dir_fd") is None and not shim.watches(path):
            return real(path, *args, **kwargs)
        return shim.call(f"os.{name}", lambda: real(path, *args, **kwargs), _os_error(path))

    _set(os, name, called)


def _wrap_handle_call(shim: Shim, name: str) -> None:
    real = getattr(os, name)
    _set(os, name, lambda *args: shim.call(f"os.{name}", lambda: real(*args), _os_error()))


# --- Parquet and Iceberg ----------------------------------------------------------------------------------


def _count_method(shim: Shim, owner: Any, name: str, error: Callable[[int], Exception]) -> None:
    real = getattr(owner, name)
    label = f"{owner.__name__}.{name}"

    def called(*args: Any, **kwargs: Any) -> Any:
        return shim.call(label, lambda: real(*args, **kwargs), error)

    _set(owner, name, called)


def _install_arrow(shim: Shim) -> None:
    for name in ("__init__", "write_table", "add_key_value_metadata", "close"):
        _count_method(shim, pq.ParquetWriter, name, _arrow_error)
    for name in ("read_table", "read_metadata"):
        _count_method(shim, pq, name, _arrow_error)


class _Stream:
    """A stream of PyArrow, as PyIceberg writes its metadata to and reads it from, whose calls count."""

    def __init__(self, shim: Shim, real: Any) -> None:
        self._shim = shim
        self._real = real
        self._is_written = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        # Avro is written byte by byte: the first one stands for all.
        if name not in _FILE_CALLS or (name == "write" and self._is_written):
            return found
        self._is_written |= name == "write"
        return lambda *args: self._shim.call(f"stream.{name}", lambda: found(*args), _arrow_error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self.close()
        finally:
            self._real.close()


def _install_iceberg(shim: Shim) -> None:
    for name in ("open", "create"):
        _count_method(shim, PyArrowFile, name, _arrow_error)
        counted = getattr(PyArrowFile, name)
        _set(PyArrowFile, name, lambda *args, made=counted, **kwargs: _Stream(shim, made(*args, **kwargs)))
    _count_method(shim, PyArrowFile, "exists", _arrow_error)
    _count_method(shim, PyArrowFileIO, "delete", _arrow_error)


# --- DuckDB and SQLite ------------------------------------------------------------------------------------


class _DuckDB:
    """A connection, a relation or a reader of DuckDB whose statements count."""

    def __init__(self, shim: Shim, real: Any) -> None:
        self._shim = shim
        self._real = real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in {"execute", "sql", "fetchall", "to_arrow_table", "read_next_batch"}:
            return lambda *args, **kwargs: self._wrapped(
                self._shim.call(f"duckdb.{name}", lambda: found(*args, **kwargs), _duckdb_error)
            )
        if name in {"cursor", "to_arrow_reader"}:
            return lambda *args, **kwargs: _DuckDB(self._shim, found(*args, **kwargs))
        return found

    def _wrapped(self, made: Any) -> Any:
        is_duckdb = isinstance(made, duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation)
        return _DuckDB(self._shim, made) if is_duckdb else made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._real.close()

    def __iter__(self) -> Any:
        while True:
            try:
                yield self.read_next_batch()
            except StopIteration:
                return


def _install_duckdb(shim: Shim) -> None:
    real = duckdb.connect

    def connect(*args: Any, **kwargs: Any) -> Any:
        return _DuckDB(shim, shim.call("duckdb.connect", lambda: real(*args, **kwargs), _duckdb_error))

    _set(duckdb, "connect", connect)


def _install_sqlite(shim: Shim) -> None:
    for name in ("connect", "do_execute", "do_commit"):
        _count_method(shim, SQLiteDialect_pysqlite, name, _sqlite_error)
