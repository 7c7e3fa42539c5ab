"""Raw size: how many bytes of JSON the source files hold, measured by unpacking those that are still there.

The ledger knows what arrived compressed, not what it unpacks to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eventmint.sources.gunzip import UnreadableFile, VerifiedGzip
from eventmint.values import LedgerEntry


@dataclass(frozen=True)
class RawSize:
    """What was measured.

    Attributes:
        files, lines: source files that were unpacked, and the lines in them that are not blank.
        raw_bytes: what they unpack to.
        gzip_bytes: what they take up as they are.
        known_files: files that count in the lake, of which those above are some.
    """

    files: int
    lines: int
    raw_bytes: int
    gzip_bytes: int
    known_files: int


def measure_raw(entries: Sequence[LedgerEntry], at_most: int) -> RawSize:
    """Unpack source files and count their bytes; nothing is kept.

    Args:
        entries: the landed files that count.
        at_most: how many to unpack, spread evenly over all.
    Returns: the sums over files whose bytes are still those that were landed; the rest is left out.
    """
    step = max(1, -(-len(entries) // at_most)) if at_most else len(entries) + 1
    files = lines = raw_bytes = gzip_bytes = 0
    for entry in sorted(entries, key=lambda entry: entry.path)[step - 1 :: step]:
        size = _unpacked_bytes(entry)
        if size is not None:
            files += 1
            lines += entry.lines - entry.blank
            raw_bytes += size
            gzip_bytes += entry.size_bytes
    return RawSize(files, lines, raw_bytes, gzip_bytes, len(entries))


def _unpacked_bytes(entry: LedgerEntry) -> int | None:
    reader = VerifiedGzip(Path(entry.path))
    try:
        size = sum(len(chunk) for chunk in reader)
    except UnreadableFile:
        return None
    return size if reader.sha256 == entry.sha256 else None
