"""Files of this machine: moves that survive a power cut, and a lock that the kernel frees."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from eventmint.crash_points import reached
from eventmint.errors import EventmintError, FixData, FixSettings, LockHeld, TryAgain


def put(moves: Sequence[tuple[str, str]]) -> None:
    folders = set()
    for source, target in moves:
        folder = Path(target).parent
        make_folder(folder)
        Path(source).replace(target)
        reached("put: a file is at its place")
        folders.add(folder)
    sync_folders(folders)


def write_whole(path: Path, text: str) -> Path:
    """Write a text file; see `whole_file`."""
    with whole_file(path) as sink:
        sink.write(text.encode())
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file of which nobody ever sees a part; what was there before is replaced at the end.

    Raises: FixSettings: it cannot be written there.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with unfinished.open("xb") as sink:
            yield sink
        unfinished.replace(path)
    except OSError as err:
        raise FixSettings(f"{path}: cannot be written: {err.strerror}.", "Name another file.") from err
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and that is on disk when this returns.

    Raises: FileExistsError: there is one. OSError: it cannot be written.
    """
    make_folder(path.parent)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folders([path.parent])


def make_folder(folder: Path) -> None:
    """Make a folder and what it lies in, durably, where they are missing."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folders([folder.parent])


def create_synced(path: Path, *, overwrite: bool, and_folder: bool) -> BinaryIO:
    """Open a file for writing that is on disk once it is closed.

    Args: and_folder: the folder's entries too, this one and all before it.
    Raises: FileExistsError: there is one, and it is not to be overwritten.
    """
    return io.BufferedWriter(_SyncedFile(path, "wb" if overwrite else "xb", and_folder))


class _SyncedFile(io.FileIO):
    def __init__(self, path: Path, mode: str, and_folder: bool) -> None:
        super().__init__(path, mode)
        self._folders = [path.parent] if and_folder else []

    def close(self) -> None:
        if self.closed:
            return
        try:
            os.fsync(self.fileno())
        finally:
            super().close()
        sync_folders(self._folders)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make renames durable: an entry of a folder is only safe once the folder is synced."""
    for folder in folders:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(locations: Iterable[str]) -> None:
    for location in locations:
        Path(location).unlink(missing_ok=True)


def missing(locations: Iterable[str]) -> list[str]:
    return [location for location in locations if not Path(location).exists()]


@contextmanager
def lock(root: Path) -> Iterator[None]:
    try:
        make_folder(root)
        handle = (root / ".lock").open("a")
    except OSError as err:
        raise FixData(
            f"{root}: the lake folder cannot be written: {err.strerror}.",
            "Grant access, or set `lake.root` to another folder.",
        ) from err
    with handle:
        try:
            # The kernel frees it when the process dies, however it dies.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockHeld(f"{root}: another run is at work on this lake.", "Wait for it to end.") from None
        reached("lock: taken")
        yield
        reached("lock: about to be freed")


@contextmanager
def fresh_folder(place: Path) -> Iterator[Path]:
    """A folder below `place` that nobody else has, gone afterwards; what others have left there goes now.

    Raises: TryAgain: another run has removed ours: it could not know that we only stood still.
    """
    shutil.rmtree(place, ignore_errors=True)
    folder = place / uuid.uuid4().hex
    folder.mkdir(parents=True)
    reached("scratch: made")
    try:
        yield folder
    except EventmintError:
        raise
    except Exception as err:
        if folder.exists():
            raise
        raise TryAgain(f"{place}: another run took over while this one stood still.", "Run again.") from err
    finally:
        reached("scratch: about to be removed")
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else's is in it
            place.rmdir()
