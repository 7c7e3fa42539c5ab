"""Shops whose tables are in memory, where the same run costs a fraction: for tests that play many of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deliveries import Shop
from iceberg_in_memory import IcebergInMemory, Transaction

import eventmint
import eventmint.lake
from eventmint.config import Settings
from eventmint.engine.duckdb_engine import DuckDBEngine, connect
from eventmint.lake import Lake
from eventmint.tables import commit as commit_module
from eventmint.tables.catalog import LakeCatalog

if TYPE_CHECKING:
    import duckdb


def play_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs keep their engine, write without waiting for a disk, and commit to tables in memory."""
    monkeypatch.setattr(
        eventmint.lake, "_engine", lambda settings, _scratch: WarmEngine(1, settings.run.memory_mb)
    )
    monkeypatch.setattr(eventmint.lake, "shadow_of", _shadow_of)
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(commit_module, "_Staged", Transaction)  # PyIceberg's, with a cache


def _shadow_of(catalog: LakeCatalog, folder: Path) -> LakeCatalog:
    """As tables.shadow.shadow_of, of tables in memory: the same states, to be written elsewhere."""
    shadow = LakeCatalog(folder)
    shadow.file.touch()
    held = getattr(catalog, "_catalog")  # noqa: B009 - see MemoryShop.lake
    states = {
        name: replace(state, place=f"file://{folder}/{'/'.join(name)}") for name, state in held.states.items()
    }
    setattr(shadow, "_catalog", IcebergInMemory(states))  # noqa: B010 - see MemoryShop.lake
    return shadow


@dataclass
class MemoryShop(Shop):
    """A shop whose tables are in memory; its files are files."""

    catalog: IcebergInMemory = field(default_factory=IcebergInMemory)

    @cached_property
    def _read_settings(self) -> Settings:
        lake = eventmint.open_lake(
            lake__root=str(self.folder / "lake"),
            lake__database="",
            **{"run__workers": 1, "source__settle_seconds": 0.0, **self.settings},
        )
        return lake.settings

    @property
    def lake(self) -> Lake:
        lake = Lake(self._read_settings)
        lake._catalog.root.mkdir(parents=True, exist_ok=True)
        lake._catalog.file.touch()
        setattr(lake._catalog, "_catalog", self.catalog)  # noqa: B010 - it stands in for PyIceberg's
        return lake


class WarmEngine(DuckDBEngine):
    """DuckDB is opened once for all histories, not once a run."""

    def __init__(self, workers: int, memory_mb: int) -> None:
        super().__init__(workers, memory_mb)
        self._database = _database()

    def close(self) -> None:
        """Leave it open."""


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return connect(threads=1, preserve_insertion_order=False)
