"""Digests: a file that we write carries the SHA-256 of its bytes in its name (ADR 0007).

So what a file should be is known from somewhere that is not the file: the name, which the table's manifest
holds. 128 of the 256 bits are kept; `sha256sum` shows them to anybody.
"""

from __future__ import annotations

import hashlib
import re
from io import BufferedReader
from pathlib import Path

_KEPT_DIGITS = 32
_NAME = re.compile(rf"(?P<stem>.*)\.sha256-(?P<digest>[0-9a-f]{{{_KEPT_DIGITS}}})\.parquet")


def digest_of(file: BufferedReader) -> str:
    """Return what a name keeps of the SHA-256 of an open file, read from where it stands to its end."""
    return hashlib.file_digest(file, "sha256").hexdigest()[:_KEPT_DIGITS]


def with_digest(path: Path, digest: str) -> Path:
    """Return the path `<stem>.parquet` as `<stem>.sha256-<digest>.parquet`."""
    return path.with_name(f"{path.stem}.sha256-{digest}.parquet")


def digest_in(location: str) -> str | None:
    """Return the digest in a file's name; None for a file that somebody else wrote."""
    named = _NAME.fullmatch(location.rpartition("/")[2])
    return named["digest"] if named else None


def stem_in(location: str) -> str:
    """Return a file's name without its digest and its ending."""
    name = location.rpartition("/")[2]
    named = _NAME.fullmatch(name)
    return named["stem"] if named else name.removesuffix(".parquet")
