"""How manifests are laid out, worked out once: PyIceberg makes schema and reader anew for every file.

A run on a small lake opens some eighty manifests and lists of them, all of a handful of layouts, and spent a
sixth of its time on that. The bytes are read and checked as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, TypeVar

import pyiceberg.manifest
from pyiceberg.avro.decoder import new_decoder
from pyiceberg.avro.file import META_SCHEMA, AvroFile, AvroFileHeader
from pyiceberg.avro.reader import Reader
from pyiceberg.avro.resolver import construct_reader, resolve_reader
from pyiceberg.schema import Schema

D = TypeVar("D")
# Each way in which a table is partitioned makes one; of more than these the oldest is worked out again.
_LAYOUTS_KEPT = 256
_HEADER = construct_reader(META_SCHEMA, {-1: AvroFileHeader})


class AvroFileOfKnownLayout(AvroFile[D]):  # type: ignore[type-var]  # the bound is not exported
    """PyIceberg's own, but for where schema and reader come from."""

    def __enter__(self) -> Self:
        with self.input_file.open() as file:
            self.decoder = new_decoder(file.read())
        self.header = _HEADER.read(self.decoder)
        self.schema = _schema(self.header.meta.get("avro.schema", ""))
        wanted = self.read_schema or self.schema
        self.read_schema = wanted
        kinds = tuple(self.read_types.items()), tuple(self.read_enums.items())
        self.reader = _reader(_Same(self.schema), _Same(wanted), *kinds)
        return self


@dataclass(frozen=True, eq=False)
class _Same:
    """A schema that is equal to itself alone: comparing two takes longer than what it would save."""

    schema: Schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.schema is other.schema

    def __hash__(self) -> int:
        return id(self.schema)


@lru_cache(_LAYOUTS_KEPT)
def _schema(text: str) -> Schema:
    header = AvroFileHeader(b"", {"avro.schema": text} if text else {}, b"")
    return header.get_schema()


@lru_cache(_LAYOUTS_KEPT)
def _reader(
    of_file: _Same,
    wanted: _Same,
    types: tuple[tuple[int, Callable[..., Any]], ...],
    enums: tuple[tuple[int, Callable[..., Any]], ...],
) -> Reader:
    return resolve_reader(of_file.schema, wanted.schema, dict(types), dict(enums))


def know_layouts() -> None:
    """Let PyIceberg read manifests and their lists so; it has no other door."""
    setattr(pyiceberg.manifest, "AvroFile", AvroFileOfKnownLayout)  # noqa: B010 - a name that it imported
