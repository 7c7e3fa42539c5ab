"""Following a lake that others write: one state after the other, looked after once a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
from deliveries import CutOffAfter, Shop, event

from eventmint.errors import FixData, FixSettings, TryAgain
from eventmint.serve import follow
from eventmint.serve.answers import answer, asking
from eventmint.serve.follow import Follower, Told
from eventmint.storage import local
from eventmint.tables.catalog import LakeCatalog


class Reader:
    """Somebody who reads a shop's lake into a file of his own."""

    def __init__(self, shop: Shop, database: Path) -> None:
        self.database = database
        self.looks = 0
        self.told: list[Told | None] = [Told("{}", is_sound=True)]  # one after the other, the last for ever
        self._follower = Follower(LakeCatalog(shop.folder / "lake"), database, self._told)

    def _told(self) -> Told | None:
        self.looks += 1
        return self.told.pop(0) if len(self.told) > 1 else self.told[0]

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


def bring_another(shop: Shop) -> None:
    shop.deliver("b", event(user_id="another"))
    shop.run()


def test_a_reader_looks_again_after_a_minute_and_not_before(
    shop: Shop, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reader.events() == 1
    bring_another(shop)
    assert reader.events() == 1
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    assert reader.events() == 2
    assert reader.events() == 2
    assert reader.looks == 5  # once a time, and once more before what is built is shown


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


def test_what_a_run_has_written_meanwhile_is_not_shown_with_what_was_told_before(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    reader.told = [Told("{}", is_sound=True), Told('{"later": 1}', is_sound=True)]
    with pytest.raises(TryAgain, match="A run has written the tables meanwhile"):
        reader.events()
    assert reader.events() == 1


def test_of_a_broken_law_is_told_and_the_tables_stay(
    shop: Shop, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    assert reader.events() == 1
    bring_another(shop)
    reader.told = [Told('{"broken": 1}', is_sound=False)]
    assert reader.events() == 1
    with asking(reader.database) as ask:
        assert ask("FROM ops.facts", []).to_pylist() == [{"document": '{"broken": 1}'}]


def test_a_lake_that_cannot_be_asked_is_shown_as_it_was(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)

    def refuse() -> Told | None:
        raise FixSettings("The credentials have expired.", "Log in.")

    monkeypatch.setattr(reader._follower, "_told", refuse)
    with pytest.raises(FixSettings, match="expired"):
        reader.events()
    monkeypatch.undo()
    assert reader.events() == 1  # asked again at once: there was nothing to show
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(reader._follower, "_told", refuse)
    assert reader.events() == 1


def test_where_there_is_no_lake_nothing_is_published(reader: Reader) -> None:
    reader.told = [None]
    with pytest.raises(FixData):
        reader.events()
    assert not reader.database.exists()


def test_nobody_waits_for_who_is_at_it_while_there_is_an_old_state(reader: Reader) -> None:
    assert reader.events() == 1
    with reader._follower._turn:
        assert reader.events() == 1


def test_while_another_reader_writes_the_file_the_old_one_is_read(
    shop: Shop, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    assert reader.events() == 1
    bring_another(shop)
    with local.lock(reader.database.with_name(".analytics.duckdb.follow")):
        assert reader.events() == 1
    assert reader.events() == 2
