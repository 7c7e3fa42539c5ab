"""Layouts that are known are read as PyIceberg alone reads them, and worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyiceberg.manifest
import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.manifest import read_manifest_list
from pyiceberg.typedef import Record

from eventmint.contracts import all_contracts
from eventmint.lake import Lake
from eventmint.tables import avro


def entries(lake: Lake) -> dict[str, list[Any]]:
    """All that the manifests of every table say, and the lists of them."""
    found: dict[str, list[Any]] = {}
    for shape in all_contracts():
        table = lake._catalog.load(shape)
        for snapshot in table.snapshots():
            manifests = [*read_manifest_list(table.io.new_input(snapshot.manifest_list))]
            said = [(one, *one.fetch_manifest_entry(table.io, discard_deleted=False)) for one in manifests]
            found[f"{shape.table} {snapshot.snapshot_id}"] = [[plain(part) for part in one] for one in said]
    return found


def plain(value: Any) -> Any:
    if isinstance(value, Record):
        return type(value).__name__, [plain(value[position]) for position in range(len(value))]
    return dict(value) if isinstance(value, Mapping) else value


def test_a_known_layout_is_read_as_pyiceberg_alone_reads_it(
    months: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = entries(months)
    monkeypatch.setattr(pyiceberg.manifest, "AvroFile", AvroFile)
    theirs = entries(months)
    assert ours == theirs
    assert "'DataFile'" in str(theirs)


def test_a_layout_is_worked_out_once(months: Lake) -> None:
    entries(months)
    before = avro._reader.cache_info(), avro._schema.cache_info()
    entries(months)
    after = avro._reader.cache_info(), avro._schema.cache_info()
    assert [info.misses for info in after] == [info.misses for info in before]
    assert all(now.hits > then.hits for now, then in zip(after, before, strict=True))


def test_a_header_without_a_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="No schema found"):
        avro._schema("")
