"""Following a lake that others write: one state after the other, looked after once a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
from deliveries import CutOffAfter, Shop, event

from eventmint.errors import TryAgain
from eventmint.serve import follow
from eventmint.serve.answers import answer
from eventmint.serve.follow import Follower
from eventmint.storage import local
from eventmint.tables.catalog import LakeCatalog


class Reader:
    """Somebody who reads a shop's lake into a file of his own."""

    def __init__(self, shop: Shop, database: Path) -> None:
        self.database = database
        self.looks = 0
        self._follower = Follower(LakeCatalog(shop.folder / "lake"), database, self._facts)

    def _facts(self) -> str:
        self.looks += 1
        return "{}"

    def events(self) -> int:
        self._follower.follow()
        return int(sum(answer(self.database, "user_activity", None, None).column("events").to_pylist()))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "shop")
    shop.deliver("a", event())
    shop.run()
    return shop


@pytest.fixture
def reader(shop: Shop, tmp_path: Path) -> Reader:
    return Reader(shop, tmp_path / "reader" / "analytics.duckdb")


def test_a_reader_looks_again_after_a_minute_and_not_before(
    shop: Shop, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reader.events() == 1
    shop.deliver("b", event(user_id="another"))
    shop.run()
    assert reader.events() == 1
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    assert reader.events() == 2
    assert reader.events() == 2
    assert reader.looks == 2  # once for each state


def test_tables_of_two_batches_are_never_shown_together(
    shop: Shop, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    assert reader.events() == 1
    shop.deliver("b", event(user_id="another"))
    shop.progress = CutOffAfter("silver")
    with pytest.raises(RuntimeError):
        shop.run()
    assert reader.events() == 1
    with pytest.raises(TryAgain, match="A run is writing the tables"):
        Reader(shop, tmp_path / "late" / "analytics.duckdb").events()


def test_while_another_reader_writes_the_file_the_old_one_is_read(
    shop: Shop, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    assert reader.events() == 1
    shop.deliver("b", event(user_id="another"))
    shop.run()
    with local.lock(reader.database.with_name(".analytics.duckdb.follow")):
        assert reader.events() == 1
    assert reader.events() == 2
