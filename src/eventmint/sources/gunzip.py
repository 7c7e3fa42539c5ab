"""Gunzip that trusts nothing: CRC and length of every member are checked here, by us.

Engines do not check them (DuckDB reads a file with a wrong CRC without a word), so no engine ever sees a
compressed file. Decompressed bytes are handed out as they come; they count only once the last byte is
verified, which is when the iterator ends without an error.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from isal import isal_zlib

READ_BYTES = 1 << 20
CHUNK_BYTES = 4 << 20
# Limits against bombs. DEFLATE can reach 1030:1; real events reach about 10:1, hand-made ones 320:1.
MAX_RATIO = 500
RATIO_FREE_BYTES = 16 << 20
MAX_MEMBERS = 100_000

_MAGIC = b"\x1f\x8b"
_DEFLATE = 8
_PADDING = re.compile(rb"\0+")
# The first bite of a member is small: what it leaves over is copied, and there may be very many members.
_FIRST_PIECE_BYTES = 512
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16


class UnreadableFile(Exception):
    """The file as it stands can't be read; `reason` is the code that the ledger keeps."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes as they lie there. Raises: UnreadableFile: it is gone or can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UnreadableFile("vanished") from None
    except OSError as err:
        raise UnreadableFile("unreadable") from err


class Inflater(Protocol):
    eof: bool
    unused_data: bytes
    unconsumed_tail: bytes

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class VerifiedGzip:
    """One gzip file, read once from start to end.

    Iterating yields decompressed chunks of at most 4 MiB. What unfolds beyond the ratio of a bomb is held
    back until it is known to be none, 16 MiB at most: nobody works on what a bomb gave. When the iteration
    has ended, `sha256` is that of the compressed bytes and `size_bytes` their number.

    Raises while iterating: UnreadableFile: `empty_file`, `not_gzip`, `gzip_truncated`, `gzip_corrupt`,
        `gzip_trailing_garbage`, `gzip_bomb`; `vanished` or `unreadable` where the file system says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._buffer = b""
        self._at = 0  # what is before has been used; cutting it off each time would copy without end
        self._out_bytes = 0
        self._held: list[bytes] = []
        self._file: BinaryIO

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as self._file:
                yield from self._members()
                yield from self._held
        except FileNotFoundError:
            raise UnreadableFile("vanished") from None
        except OSError as err:
            raise UnreadableFile("unreadable") from err

    def _members(self) -> Iterator[bytes]:
        if not self._fill(2):
            raise UnreadableFile("gzip_truncated" if self._ahead(1) == b"\x1f" else self._what_is_short())
        if self._ahead(2) != _MAGIC:
            raise UnreadableFile("not_gzip")
        for _ in range(MAX_MEMBERS):
            self._skip_header()
            yield from self._inflate_member()
            if not self._next_member_follows():
                return
        raise UnreadableFile("gzip_bomb")

    def _what_is_short(self) -> str:
        return "not_gzip" if self._ahead(1) else "empty_file"

    def _inflate_member(self) -> Iterator[bytes]:
        inflater: Inflater = isal_zlib.decompressobj(wbits=-15)
        crc = length = 0
        piece_bytes = _FIRST_PIECE_BYTES
        while not inflater.eof:
            data = inflater.unconsumed_tail or self._take(piece_bytes)
            piece_bytes = min(2 * piece_bytes, READ_BYTES)
            if not data:
                raise UnreadableFile("gzip_truncated")
            try:
                chunk = inflater.decompress(data, CHUNK_BYTES)
            except isal_zlib.error as err:  # type: ignore[misc]  # the stub takes the class for an instance
                raise UnreadableFile("gzip_corrupt") from err
            crc = isal_zlib.crc32(chunk, crc)
            length += len(chunk)
            self._out_bytes += len(chunk)
            if chunk:
                yield from self._not_a_bomb(chunk, self._used_bytes(inflater))
        self._give_back(inflater.unused_data)
        if (crc, length & 0xFFFFFFFF) != struct.unpack("<II", self._exactly(8)):
            raise UnreadableFile("gzip_corrupt")

    def _used_bytes(self, inflater: Inflater) -> int:
        """How many compressed bytes have been unfolded: what was read ahead excuses no bomb."""
        not_yet = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        return self.size_bytes - (len(self._buffer) - self._at) - len(not_yet)

    def _not_a_bomb(self, chunk: bytes, used_bytes: int) -> Iterator[bytes]:
        self._held.append(chunk)
        if self._out_bytes <= MAX_RATIO * used_bytes:
            yield from self._held
            self._held.clear()
        elif self._out_bytes > RATIO_FREE_BYTES:
            raise UnreadableFile("gzip_bomb")

    def _next_member_follows(self) -> bool:
        while self._fill(1):
            padding = _PADDING.match(self._buffer, self._at)  # as tape and block tools write it
            if padding:
                self._at = padding.end()
                continue
            self._fill(2)
            if self._ahead(2) == _MAGIC:
                return True
            raise UnreadableFile("gzip_trailing_garbage")
        return False

    def _skip_header(self) -> None:
        _, _, method, flags = struct.unpack("<BBBB", self._exactly(4))
        if method != _DEFLATE or flags & 0xE0:
            raise UnreadableFile("gzip_corrupt")
        self._exactly(6)
        if flags & _FEXTRA:
            self._exactly(struct.unpack("<H", self._exactly(2))[0])
        for flag in (_FNAME, _FCOMMENT):
            if flags & flag:
                self._skip_text()
        if flags & _FHCRC:
            self._exactly(2)

    def _skip_text(self) -> None:
        while self._fill(1):
            end = self._buffer.find(b"\0", self._at)
            if end >= 0:
                self._at = end + 1
                return
            self._at = len(self._buffer)
        raise UnreadableFile("gzip_truncated")

    def _exactly(self, count: int) -> bytes:
        if not self._fill(count):
            raise UnreadableFile("gzip_truncated")
        return self._take(count)

    def _take(self, count: int) -> bytes:
        """Use up to so many bytes, at least one unless the file has ended."""
        self._fill(1)
        taken = self._ahead(count)
        self._at += len(taken)
        return taken

    def _give_back(self, unused: bytes) -> None:
        if len(unused) <= self._at:
            self._at -= len(unused)
        else:  # part of it came with an earlier piece, which the buffer no longer has
            self._buffer, self._at = unused + self._buffer[self._at :], 0

    def _ahead(self, count: int) -> bytes:
        return self._buffer[self._at : self._at + count]

    def _fill(self, count: int) -> bool:
        """Whether so many bytes are ahead, after reading what is missing."""
        while len(self._buffer) - self._at < count:
            data = self._file.read(READ_BYTES)
            if not data:
                return False
            self._hash.update(data)
            self.size_bytes += len(data)
            self._buffer, self._at = self._buffer[self._at :] + data, 0
        return True
