"""A source file without some of its lines: every other byte as it came, in the place of the old file.

What was there is whole until what replaces it is whole. The file's own time stays, for it may be what tells
when it came in.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eventmint.crash_points import reached
from eventmint.sources.gunzip import VerifiedGzip
from eventmint.storage import is_s3
from eventmint.storage.local import sync_folders

_BOM = b"\xef\xbb\xbf"
_LEVEL = 6


@dataclass(frozen=True)
class Rewritten:
    """What became of a source file.

    Attributes:
        sha256: of the compressed bytes that were there.
        dropped: lines that are gone; where there were none, the file is as it was.
    """

    sha256: str
    dropped: int


def rewrite_source(location: str, drops: Callable[[bytes], bool], scratch: Path) -> Rewritten:
    """Write a source file again without some lines.

    Args:
        location: a path of this machine, or an `s3://` address.
        drops: whether a line goes, by its bytes without its newline.
        scratch: a folder of this machine, for what comes from S3.
    Raises:
        UnreadableFile: it is no intact gzip file; nothing was changed. OSError: it cannot be written.
        TryAgain, FixSettings, FixData: S3 does not answer or refuses.
    """
    if not is_s3(location):
        return _rewrite_local(Path(location), drops)
    from eventmint.storage import s3

    near = scratch / uuid.uuid4().hex
    s3.download(location, near)
    made = _rewrite_local(near, drops)
    if made.dropped:
        s3.put([(str(near), location)])
    near.unlink(missing_ok=True)
    return made


def _rewrite_local(path: Path, drops: Callable[[bytes], bool]) -> Rewritten:
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    source = VerifiedGzip(path)
    dropped = 0
    try:
        with unfinished.open("xb") as sink:
            with gzip.GzipFile("", "wb", _LEVEL, sink, mtime=0) as packed:
                for line, text in _lines(source):
                    if drops(text):
                        dropped += 1
                    else:
                        packed.write(line)
            sink.flush()
            os.fsync(sink.fileno())
        if dropped:
            status = path.stat()
            shutil.copymode(path, unfinished)
            os.utime(unfinished, ns=(status.st_atime_ns, status.st_mtime_ns))
            unfinished.replace(path)
            sync_folders([path.parent])
            reached("source: rewritten")
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return Rewritten(source.sha256, dropped)


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield each line as it is, newline and all, and its text as it is judged."""
    is_first = True
    rest: list[bytes] = []
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for piece in whole:
            line = b"".join((*rest, piece, b"\n"))
            rest = []
            yield line, _text(line, is_first)
            is_first = False
        rest.append(last)
    if line := b"".join(rest):
        yield line, _text(line, is_first)


def _text(line: bytes, is_first: bool) -> bytes:
    text = line.removesuffix(b"\n")
    return text.removeprefix(_BOM) if is_first else text
