"""A backfill takes in the files of some days, a run per batch, and leaves the live source its turns."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cut_off import CutOff, at_every_point
from deliveries import NOW, TODAY, Shop, event, gzipped, random_events, state_of, text_of
from made_tables import made_tables, tables_of
from memory_shops import MemoryShop, play_in_memory

import eventmint.lake
from eventmint.cli import main
from eventmint.errors import FixSettings, LockHeld
from eventmint.pipeline import batches as one_by_one
from eventmint.storage import lock
from eventmint.values import Backfill, DayRange, RunReport

DAYS = [date(2024, 3, number) for number in (1, 2, 3)]
SOME = DayRange(DAYS[1], None)


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not {"cli_shop", "real_folder"}.intersection(request.fixturenames):
        play_in_memory(monkeypatch)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return filled(MemoryShop(tmp_path))


@pytest.fixture
def cli_shop(tmp_path: Path) -> Shop:
    shop = filled(Shop(tmp_path))
    config = '[source]\nsettle_seconds = 0\n[lake]\nroot = "lake"\n[run]\nworkers = 1\n'
    (shop.folder / "eventmint.toml").write_text(config)
    return shop


@pytest.fixture
def real_folder(tmp_path: Path) -> Path:
    return tmp_path


def filled(shop: Shop) -> Shop:
    """A lake of one live file, and an archive of three days of which some events are in it."""
    live = random_events(Random(1), 5)
    shop.deliver("a", *live, event())
    shop.run()
    for number, day in enumerate(DAYS):
        for hour in (8, 9):
            archive(shop, day, hour, *random_events(Random(number * 24 + hour), 4), live[number], b"{")
    return shop


def archive(shop: Shop, day: date, hour: int, *lines: Any) -> Path:
    path = folder_of(shop) / f"{day:year=%Y/month=%m/day=%d}/hour={hour:02d}/x.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzipped(text_of(*lines)))
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    if day >= DAYS[1]:
        shop.texts[str(path)] = text_of(*lines)
    return path


def folder_of(shop: Shop) -> Path:
    return shop.folder / "archive"


def backfill(shop: Shop, days: DayRange = SOME, **options: Any) -> Backfill:
    return shop.lake.backfill(
        folder_of(shop), days, **{"now": NOW + timedelta(hours=1), "pause": timedelta(0), **options}
    )


@pytest.fixture
def _a_file_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches(files: Any, batch_bytes: int) -> Iterator[Any]:
        return one_by_one(files, batch_bytes, batch_files=1)

    monkeypatch.setattr(eventmint.lake, "batches", batches)


@pytest.mark.usefixtures("_a_file_a_batch")
def test_only_files_of_the_days_come_in_each_batch_a_run_that_says_where_from(shop: Shop) -> None:
    made = backfill(shop)
    assert (made.files, made.batches, made.files_landed, made.files_set_aside) == (4, 4, 4, 0)
    assert (made.range, made.source) == ("days from 2024-03-02", str(folder_of(shop)))
    assert (made.totals.lines, made.totals.quarantined) == (24, 4)
    assert made.quarantined_by_reason == {"json_invalid": 4}
    records = shop.lake.runs()
    assert [record["source"] for record in records] == [str(shop.source), *[str(folder_of(shop))] * 4]
    assert made.totals.events == sum(record["totals"]["events"] for record in records[1:])
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))
    received = {entry.received_at.date() for entry in shop.lake.ledger().entries[1:]}
    assert received == set(DAYS[1:])


@pytest.mark.usefixtures("_a_file_a_batch")
def test_runs_of_the_live_source_come_between_and_know_their_files_as_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[RunReport] = []

    def meanwhile(seconds: float) -> None:
        assert seconds == 7
        shop.deliver(f"live {len(reports)}", event(quantity=len(reports) + 5))
        reports.append(shop.run())

    monkeypatch.setattr(time, "sleep", meanwhile)
    made = backfill(shop, pause=timedelta(seconds=7))
    # Nobody is waited for after the last batch.
    assert [report.files_landed for report in reports] == [1, 1, 1]
    assert made.files_landed == 4
    assert made.totals.lines == 24
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))
    assert not shop.run().changed


@pytest.mark.usefixtures("_a_file_a_batch")
def test_one_that_was_cut_off_is_repeated_and_takes_in_nothing_twice(shop: Shop) -> None:
    met = 0

    def cut_off(point: str) -> None:
        nonlocal met
        met += point == "commit silver.events_cleaned: before"
        if met == 2:
            raise CutOff

    with at_every_point(cut_off), pytest.raises(CutOff):
        backfill(shop)
    made = backfill(shop)
    assert (made.files, made.files_landed) == (2, 3)  # the run also reports what was cut off before
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))
    again = backfill(shop)
    assert (again.files, again.batches) == (0, 0)
    assert [law for law in shop.lake.verify(deep=True) if not law.holds] == []


def test_a_run_at_work_is_waited_for_but_not_for_ever(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as other:
        other.enter_context(lock(shop.lake._catalog.location))
        with pytest.raises(LockHeld):
            backfill(shop, wait=timedelta(0))
        waited = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                other.close()

        monkeypatch.setattr(time, "sleep", wait)
        assert backfill(shop).files_landed == 4
    assert len(waited) == 3
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))


def test_a_file_that_is_known_by_its_content_is_a_copy(shop: Shop) -> None:
    archive(shop, DAYS[2], 10, *[json.loads(line) for line in shop.texts["a"].splitlines()])
    made = backfill(shop, DayRange(DAYS[2], DAYS[2] + timedelta(days=1)))
    assert (made.files, made.files_landed, made.files_same_content) == (3, 2, 1)


def test_the_first_files_of_a_lake_may_be_those_of_a_backfill(real_folder: Path) -> None:
    shop = Shop(real_folder)
    archive(shop, DAYS[1], 8, event(), event())
    with pytest.raises(FixSettings, match="no such source"):
        shop.lake.backfill(real_folder / "nowhere", SOME)
    assert backfill(shop).totals.events == 1
    assert tables_of(shop.lake) == made_tables(list(shop.texts.values()))


# --- The command -----------------------------------------------------------------------------------------


def ask(shop: Shop, *arguments: object) -> int:
    return main(["--config", str(shop.folder / "eventmint.toml"), *map(str, arguments)])


def test_the_command_shows_asks_does_and_repeats(cli_shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    archive(cli_shop, DAYS[2], 11, *[event(quantity=number + 1) for number in range(900)])
    folder = folder_of(cli_shop)
    before = state_of(cli_shop.folder)
    assert ask(cli_shop, "backfill", folder, "--from", "2024-03-02", "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"days from 2024-03-02 of {folder}: 5 files not known yet, ")
    assert ask(cli_shop, "backfill", folder, "--from", "2024-03-02") == 2
    assert "Nothing was changed: nobody can be asked." in capsys.readouterr().err
    for wrong in (["--from", "2024-03-02", "--to", "2024-03-02"], [], ["--all", "--to", "2024-03-02"]):
        assert ask(cli_shop, "backfill", folder, *wrong) == 2
    assert ask(cli_shop, "backfill", folder, "--all", "--wait", "soon") == 2
    assert state_of(cli_shop.folder) == before
    capsys.readouterr()
    assert ask(cli_shop, "backfill", folder, "--from", "2024-03-02", "--yes", "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["files_landed"], document["totals"]["lines"], err) == (5, 924, "")
    assert document["days"][-1] == TODAY.isoformat()
    assert ask(cli_shop, "backfill", folder, "--from", "2024-03-02") == 0  # there is nothing to be asked
    assert "0 files not known yet" in capsys.readouterr().out
    assert tables_of(cli_shop.lake) == made_tables(list(cli_shop.texts.values()))
