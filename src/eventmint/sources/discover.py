"""Discover: which files lie in the source, which are finished, and when they came in.

Lists and looks at names only; nothing is opened. What was taken before is the ledger's business.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from eventmint.errors import FixData, FixSettings
from eventmint.storage import is_s3
from eventmint.values import SourceFile

if TYPE_CHECKING:
    from eventmint.storage.s3 import S3Object

_FOLDER_TIME = re.compile(r"year=(\d{4})/month=(\d\d)/day=(\d\d)(?:/hour=(\d\d)(?:/minute=(\d\d))?)?(?=/|$)")
_NAME_TIME = re.compile(r"events-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)\.")


@dataclass(frozen=True)
class Listing:
    """What the source holds.

    Attributes:
        files: finished files, by received_at, then path.
        unsettled: paths still being written; a later run takes them.
        skipped: path and reason of what has a fitting name but is no file to read.
    """

    files: tuple[SourceFile, ...]
    unsettled: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def list_source(
    root: Path | str,
    pattern: str,
    *,
    is_known: Callable[[str, str], bool] | None = None,
    settle_seconds: float = 0.0,
    only: Collection[str] | None = None,
) -> Listing:
    """Return the files below a folder that are not known yet.

    Args:
        root: a folder, one file, or an `s3://` address.
        pattern: glob over the path below `root`; `**` spans folders.
        is_known: tells whether this path and version were dealt with before.
        settle_seconds: a file is finished when it has not changed for this long; we wait once. An object
            in S3 is whole when it is there.
        only: look at these addresses below an `s3://` root instead of listing it.
    Raises:
        FixSettings: there is no such folder or bucket.
        FixData: a folder cannot be listed: half a listing is never acted on.
    """
    if is_s3(str(root)):
        return _list_s3(str(root), pattern, is_known, only)
    root = Path(root)
    if not root.exists():
        raise FixSettings(f"{root}: no such source folder.", "Name a folder that holds *.jsonl.gz files.")
    found, skipped = [], []
    for path in _candidates(root, pattern):
        try:
            status = path.stat() if not path.is_symlink() else None
        except FileNotFoundError:
            continue
        if status is None:
            skipped.append((_name(path), "symlink"))
        elif not stat.S_ISREG(status.st_mode):
            skipped.append((_name(path), "not_a_file"))
        elif is_known is None or not is_known(_name(path), _version(status)):
            found.append((path, status))
    settled, unsettled = _settle(found, settle_seconds)
    files = sorted(
        (_source_file(path, status) for path, status in settled), key=lambda f: (f.received_at, f.path)
    )
    return Listing(tuple(files), tuple(unsettled), tuple(skipped))


def location_of(name: str) -> str:
    """Return where a file can be opened, by its name in the ledger."""
    coded = name.removeprefix("bytes:")
    return name if coded == name else os.fsdecode(unquote_to_bytes(coded))


def version_at(location: str) -> str | None:
    """Return the version of the file that lies at an address; None for no file."""
    if is_s3(location):
        from eventmint.storage import s3

        return next((_version_of(item) for item in s3.find_objects([location])), None)
    try:
        return _version(Path(location).stat())
    except OSError:
        return None


def _list_s3(
    root: str,
    pattern: str,
    is_known: Callable[[str, str], bool] | None,
    only: Collection[str] | None,
) -> Listing:
    from eventmint.storage import s3

    wanted = _glob(pattern)
    base = root.rstrip("/")
    if only is None:
        found = s3.list_objects(base)
    else:
        found = iter(s3.find_objects(location for location in sorted(only)))
    files = []
    for item in found:
        below = item.location.removeprefix(base).removeprefix("/")
        # `s3://bucket/events` is no prefix of `s3://bucket/events-old/...`, and one object is a source too.
        if item.location != base and not item.location.startswith(f"{base}/"):
            continue
        version = _version_of(item)
        if (below and not wanted.fullmatch(below)) or (is_known and is_known(item.location, version)):
            continue
        received_at = _received_at(item.location, item.modified.timestamp())
        files.append(SourceFile(item.location, item.location, version, item.size_bytes, received_at))
    return Listing(tuple(sorted(files, key=lambda f: (f.received_at, f.path))))


def _candidates(root: Path, pattern: str) -> Iterator[Path]:
    if root.is_file():
        yield root.resolve()
        return
    wanted = _glob(pattern)

    def fail(err: OSError) -> None:
        raise FixData(
            f"{err.filename}: cannot be listed: {err.strerror}.", "Grant access, then run again."
        ) from err

    base = root.resolve()
    for folder, subfolders, names in os.walk(base, onerror=fail, followlinks=False):
        subfolders.sort()
        for name in (*names, *subfolders):
            path = Path(folder, name)
            if wanted.fullmatch(path.relative_to(base).as_posix()):
                yield path


def _glob(pattern: str) -> re.Pattern[str]:
    translated = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        translated += {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}.get(
            part, re.escape(part)
        )
    return re.compile(translated, re.DOTALL)


def _settle(
    found: list[tuple[Path, os.stat_result]], settle_seconds: float
) -> tuple[list[tuple[Path, os.stat_result]], list[str]]:
    now = time.time()
    young: list[tuple[Path, os.stat_result]] = []
    settled: list[tuple[Path, os.stat_result]] = []
    for item in found:
        (young if abs(now - item[1].st_mtime) < settle_seconds else settled).append(item)
    unsettled = []
    if young:
        time.sleep(settle_seconds)
        for path, before in young:
            try:
                after = path.stat()
            except FileNotFoundError:
                continue
            if _version(before) == _version(after):
                settled.append((path, after))
            else:
                unsettled.append(_name(path))
    return settled, unsettled


def _source_file(path: Path, status: os.stat_result) -> SourceFile:
    return SourceFile(
        path=_name(path),
        location=str(path),
        version=_version(status),
        size_bytes=status.st_size,
        received_at=_received_at(path.as_posix(), status.st_mtime),
    )


def _version_of(item: S3Object) -> str:
    return f"{item.etag}-{item.size_bytes}"


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _name(path: Path) -> str:
    name = os.fsencode(path)
    try:
        return name.decode()
    except UnicodeDecodeError:
        # Can be stored, stays unique (a path never starts so), and shows the bytes.
        return "bytes:" + quote_from_bytes(name)


def _received_at(path: str, modified: float) -> datetime:
    for match in (_NAME_TIME.search(path.rsplit("/", 1)[-1]), _FOLDER_TIME.search(path)):
        if match:
            digits = [part for part in match.groups() if part]
            shape = "%Y%m%d%H%M%S"[: 2 * len(digits)]
            try:
                return datetime.strptime("".join(digits), shape).replace(tzinfo=UTC)
            except ValueError:
                continue
    try:
        return datetime.fromtimestamp(modified, UTC)
    except (OverflowError, ValueError, OSError):  # a clock beyond the calendar
        return datetime(1970, 1, 1, tzinfo=UTC)
