"""Storage: where bytes lie. An address is enough: a path of this machine, or `s3://bucket/key`.

What computes (DuckDB, pyarrow, Spark on this machine) reads local files; `local_paths` brings here what lies
elsewhere, once and in parallel. What is finished is moved to its place by `put`, and is complete and durable
there when that returns. Nothing here knows what a table is.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eventmint.storage import local

SCHEME = "s3://"


def is_s3(location: str) -> bool:
    return location.startswith(SCHEME)


def local_paths(locations: Iterable[str]) -> list[str]:
    """Return, in order, a path of this machine for each address of a file that never changes.

    Raises: FixData: one is missing. TryAgain, FixSettings: S3 cannot be read; the message says why.
    """
    wanted = list(locations)
    far = [location for location in wanted if is_s3(location)]
    if not far:
        return wanted
    from eventmint.storage import s3

    near = s3.downloads().paths(far)
    return [near.get(location, location) for location in wanted]


def download_folder() -> str:
    """The folder under which `local_paths` keeps `s3://bucket/key` as `bucket/key`, with a slash at its end;
    empty where nothing was downloaded."""
    from eventmint.storage import s3

    return s3.downloads().prefix if s3.downloads.cache_info().currsize else ""


def shrink_downloads() -> None:
    """Let go of what was downloaded longest ago, where it is much; only between two pieces of work."""
    if download_folder():
        from eventmint.storage import s3

        s3.downloads().shrink()


def forget_downloads() -> None:
    """Let `local_paths` bring everything here anew."""
    if folder := download_folder():
        local.remove(list_folder(folder))


def open_parquet(location: str) -> Any:
    """Return what pyarrow needs to read parts of a file, such as its footer, without fetching all of it."""
    if not is_s3(location):
        return location
    from eventmint.storage import s3

    return s3.open_ranged(location)


def put(moves: Sequence[tuple[str | Path, str]]) -> None:
    """Move finished files to their places, replacing what is there: all are complete there at the end.

    Args: moves: pairs of where a file is and the address that it gets.
    """
    near = [(str(source), target) for source, target in moves if not is_s3(target)]
    far = [(str(source), target) for source, target in moves if is_s3(target)]
    local.put(near)
    if far:
        from eventmint.storage import s3

        s3.put(far)


def list_folder(folder: str) -> list[str]:
    """Return the addresses of all files below a folder, in order; none where there is no such folder."""
    if not is_s3(folder):
        return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
    from eventmint.storage import s3

    return [item.location for item in s3.list_objects(f"{folder}/")]


@dataclass(frozen=True)
class StoredFile:
    """A file as a listing showed it."""

    location: str
    size_bytes: int
    modified: datetime


def list_files(folder: str) -> Iterator[StoredFile]:
    """Yield all files below a folder; one that goes meanwhile may be left out."""
    if is_s3(folder):
        from eventmint.storage import s3

        for item in s3.list_objects(f"{folder}/"):
            yield StoredFile(item.location, item.size_bytes, item.modified)
        return
    for path in sorted(Path(folder).rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                yield StoredFile(str(path), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def remove(locations: Iterable[str]) -> None:
    """Remove files; one that is not there is no error."""
    near, far = _by_place(locations)
    local.remove(near)
    if far:
        from eventmint.storage import s3

        s3.remove(far)


def missing(locations: Iterable[str]) -> list[str]:
    """Return the addresses where no file lies."""
    near, far = _by_place(locations)
    absent = local.missing(near)
    if far:
        from eventmint.storage import s3

        absent += s3.missing(far)
    return absent


def lock(root: str) -> AbstractContextManager[None]:
    """Hold a lake for one writer; what is never released ends with the process, or with its lease.

    Raises: LockHeld: another run is at work. FixData: the folder cannot be written.
    """
    if not is_s3(root):
        return local.lock(Path(root))
    from eventmint.storage import s3

    return s3.lock(root)


def _by_place(locations: Iterable[str]) -> tuple[list[str], list[str]]:
    near: list[str] = []
    far: list[str] = []
    for location in locations:
        (far if is_s3(location) else near).append(location)
    return near, far


@contextlib.contextmanager
def folder_for(staging: str) -> Iterator[Path]:
    """A folder of this machine to make files in that go to `staging`: itself, unless that lies in S3."""
    if not is_s3(staging):
        yield Path(staging)
        return
    with tempfile.TemporaryDirectory(prefix="eventmint-") as folder:
        yield Path(folder)


def leave(path: str | Path, staging: str) -> str:
    """Leave a file that was made in the folder for `staging` there; return its address."""
    if not is_s3(staging):
        return str(path)
    target = f"{staging}/{Path(path).name}"
    put([(path, target)])
    return target
