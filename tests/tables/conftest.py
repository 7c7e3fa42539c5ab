"""What the tests of tables start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventmint.tables.catalog import LakeCatalog


@pytest.fixture
def catalog(tmp_path: Path) -> LakeCatalog:
    """The tables of a lake that no run has seen."""
    catalog = LakeCatalog(tmp_path / "lake")
    catalog.create_missing()
    return catalog
