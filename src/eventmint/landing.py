"""Landing one file: the functions that an engine maps over files, on this machine or on others.

A worker that does not see the disk of whoever started it is given `s3://` addresses only: it fetches the
file into a folder of its own and leaves the Parquet file in the staging folder.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventmint.bronze.land import Landed, Landing, land
from eventmint.crash_points import reached
from eventmint.sources.fetch import fetch
from eventmint.sources.gunzip import UnreadableFile, VerifiedGzip, sha256_of
from eventmint.storage import folder_for, is_s3, leave
from eventmint.values import SourceFile


@dataclasses.dataclass(frozen=True)
class Digest:
    """SHA-256 of a file's bytes; None with the reason why they could not be read."""

    sha256: str | None
    reason: str | None = None


def digest_of(file: SourceFile) -> Digest:
    """Read a file once, to know whether its content is new."""
    try:
        with _near(file) as path:
            return Digest(sha256_of(path))
    except UnreadableFile as err:
        return Digest(None, err.reason)


def land_one(landing: Landing) -> Landed:
    """Land one file: what is wrong with it as a whole is an outcome, not an error."""
    reached("file: about to be read")
    entry = landing.entry
    file = SourceFile(entry.path, landing.location, entry.version, entry.size_bytes, entry.received_at)
    try:
        with _near(file) as path, folder_for(landing.staging) as folder:
            gzip = VerifiedGzip(path)
            landed = land(landing, gzip, folder)
            if gzip.sha256 != entry.sha256:
                return _set_aside(landing, "changed_while_reading")
            parquet = landed.parquet and leave(landed.parquet, landing.staging)
            return dataclasses.replace(landed, parquet=parquet)
    except UnreadableFile as err:
        return _set_aside(landing, err.reason)


@contextmanager
def _near(file: SourceFile) -> Iterator[Path]:
    """A path of this machine where the file can be read."""
    if not is_s3(file.location):
        yield Path(file.location)
        return
    with tempfile.TemporaryDirectory(prefix="eventmint-") as folder:
        (fetched,) = fetch([file], Path(folder))
        if isinstance(fetched, UnreadableFile):
            raise fetched
        yield Path(fetched.location)


def _set_aside(landing: Landing, reason: str) -> Landed:
    return Landed(dataclasses.replace(landing.entry, status="set_aside", reason=reason))
