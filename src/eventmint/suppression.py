"""Suppression: who was forgotten, known by a keyed hash alone, and how a row or a line is found to be theirs.

The list holds HMAC-SHA-256 of ids under a key that is no part of the lake: nobody can read an id from it, or
try ids against it, without that key. It never changes while it is used, and goes to workers as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

KEY_BYTES = 32
# A text between quotes, with its escapes, and what is left where a line is cut off or is no JSON: fields
# between the usual marks, and runs of what ids are mostly made of.
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_SPLITS = (
    re.compile(rb"[\s\"',;|{}\[\]()<>]+"),
    re.compile(rb"[\t,;|\"]"),
    re.compile(rb"[^0-9A-Za-z_.@-]+"),
)
_NUMBER_OF_USER = re.compile(rb'"user_id"\s*:\s*(-?[0-9][^\s,}\]]*)')
_MOST_REMEMBERED = 1 << 20
# A word, or a single mark that an id may begin or end with; what else does is found between its quotes.
_PIECE = re.compile(rb"[\w\x80-\xff]+|[^\w\x80-\xff\s\"{},:\[\]]")
_LONGEST_IN_PIECES = 64


@dataclass(frozen=True)
class Suppression:
    """The people who were forgotten.

    Attributes:
        key: what their hashes are made with; never written or logged.
        hashes: of their ids, hexadecimal.
    """

    key: bytes = field(repr=False)
    hashes: frozenset[str] = frozenset()
    _known: dict[bytes, bool] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return Suppression, (self.key, self.hashes)  # what it remembers stays with this process

    def hash_of(self, user: str) -> str:
        return self._hash(user.encode())

    def sign(self, text: bytes) -> str:
        """Return the signature of a text; never that of an id, whose hashes say what they are for."""
        return hmac.digest(self.key, b"receipt\0" + text, hashlib.sha256).hex()

    @property
    def key_mark(self) -> str:
        """What tells this key from another one, and says nothing of it."""
        return hmac.digest(self.key, b"key\0", hashlib.sha256).hex()[:16]

    def with_hashes(self, hashes: Iterable[str]) -> Suppression:
        return Suppression(self.key, self.hashes | frozenset(hashes))

    def rows_of(self, rows: pa.Table, *, thorough: bool = False) -> pa.Array:
        """Return for each row of bronze whether it is of somebody forgotten: a valid one by its user, a
        quarantined one by any text in its bytes that is their id.

        Args: thorough: see `is_in_line`.
        """
        mask = self.are_hidden(rows["user_id"])
        if rows["raw"].null_count == rows.num_rows:
            return mask
        raws = rows["raw"].to_pylist()
        mentions = [raw is not None and self.is_in_line(raw, thorough=thorough) for raw in raws]
        return pc.or_(mask, pa.array(mentions, pa.bool_()))

    def are_hidden(self, users: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return for each user whether that is somebody forgotten; False for none."""
        named = pc.unique(users).drop_null().to_pylist()
        theirs = [user for user in named if self._hides(user.encode())]
        return pc.is_in(users, value_set=pa.array(theirs, pa.string()))

    def is_in_line(self, raw: bytes, *, thorough: bool = False) -> bool:
        """Whether the bytes of a line hold the id of somebody forgotten as a text of its own.

        Args: thorough: also between whatever marks, which takes some hundred hashes a line.
        """
        if any(map(self._hides, set(_texts_in(raw)))):
            return True
        return thorough and any(self._hash(text) in self.hashes for text in _whole_words_in(raw))

    def found_in(self, rows: pa.Table) -> set[str]:
        """Return the hashes of the forgotten people whom some rows of bronze name."""
        users = pc.unique(rows["user_id"]).drop_null().to_pylist()
        found = {self.hash_of(user) for user in users}
        for raw in rows["raw"].drop_null().to_pylist():
            found |= set(map(self._hash, (*_texts_in(raw), *_whole_words_in(raw))))
        return found & self.hashes

    def hides(self, user: str | None) -> bool:
        """Whether somebody with this id was forgotten."""
        return user is not None and self._hides(user.encode())

    def _hides(self, user: bytes) -> bool:
        found = self._known.get(user)
        if found is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            found = self._known[user] = self._hash(user) in self.hashes
        return found

    def _hash(self, user: bytes) -> str:
        return hmac.digest(self.key, b"user\0" + user, hashlib.sha256).hex()


def _texts_in(raw: bytes) -> Iterator[bytes]:
    """The texts that a line says; of one that is no JSON, also whatever stands between the usual marks."""
    yield raw
    yield from _quoted_in(raw)
    if _is_json(raw):
        yield from _NUMBER_OF_USER.findall(raw)
    else:
        for split in _SPLITS:
            yield from filter(None, split.split(raw))


def _quoted_in(raw: bytes) -> Iterator[bytes]:
    for match in _QUOTED.finditer(raw):
        yield match[1]
        if b"\\" in match[1]:
            try:
                yield json.loads(match[0]).encode()
            except ValueError:  # no JSON, or a lone surrogate, which no id has
                continue


def _whole_words_in(raw: bytes) -> Iterator[bytes]:
    """Everything that neither begins nor ends within a word, up to a length; of JSON, within its texts: a
    number that is somebody's id is a number in most places."""
    for text in set(_quoted_in(raw)) if _is_json(raw) else (raw,):
        spans = [match.span() for match in _PIECE.finditer(text)]
        for number, (start, _) in enumerate(spans):
            for _, end in spans[number:]:
                if end - start > _LONGEST_IN_PIECES:
                    break
                yield text[start:end]


def _is_json(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False
