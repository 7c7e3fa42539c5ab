"""A broken law is found and named, and what breaks it is never published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import NOW, TODAY, YESTERDAY, CutOffAfter, Shop, assert_lake_is, event, random_events, view

from eventmint.contracts import ANSWERS, contract
from eventmint.errors import LawBroken
from eventmint.serve.answers import asking
from eventmint.serve.pages.trust import published_trust
from eventmint.tables.plan import LiveFile, live_files
from eventmint.values import Law

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with two days of events in a lake that is sound, kept aside for all tests."""
    shop = Shop(tmp_path_factory.mktemp("broken") / "shop")
    shop.deliver("a", *random_events(Random(30), 40), event(), event(), b"{")
    shop.run()
    shutil.copytree(shop.folder, shop.folder.with_name("sound"))
    return shop


@pytest.fixture
def shop(sound: Shop) -> Shop:
    """The sound shop again, where it lay: its tables know their files by absolute path."""
    shutil.rmtree(sound.folder)
    shutil.copytree(sound.folder.with_name("sound"), sound.folder)
    return Shop(sound.folder, texts=dict(sound.texts))


def files_of(shop: Shop, table: str) -> list[LiveFile]:
    shape = contract(table)
    return live_files(shop.lake._catalog.load(shape), shape)


def tamper(shop: Shop, table: str, change: Change) -> LiveFile:
    """Rewrite the last file of a table behind Iceberg's back."""
    file = max(files_of(shop, table), key=lambda file: (str(file.day), file.location))
    rows = pq.read_table(file.location, partitioning=None)
    pq.write_table(change(rows), file.location, store_schema=False)
    return file


def without_its_last_row(rows: pa.Table) -> pa.Table:
    return rows.slice(0, rows.num_rows - 1)


def with_more(column: str, more: int | Decimal) -> Change:
    """Return a change that adds to the last value of a column that has one."""

    def change(rows: pa.Table) -> pa.Table:
        values = rows[column].to_pylist()
        last = max(number for number, value in enumerate(values) if value is not None)
        values[last] += more
        kept = rows.schema.field(column)
        return rows.set_column(rows.schema.get_field_index(column), kept, pa.array(values, kept.type))

    return change


def broken(shop: Shop) -> list[Law]:
    return [law for law in shop.lake.verify() if not law.holds]


def named(laws: list[Law], subject: str, terms: str) -> Law:
    """Return the one broken law of this subject and these terms."""
    (law,) = [law for law in laws if law.subject.startswith(subject) and law.terms == terms]
    return law


# --- What verify finds -----------------------------------------------------------------------------------


def test_a_sound_lake_breaks_no_law(shop: Shop) -> None:
    assert broken(shop) == []


def test_an_event_that_is_missing_in_silver_is_found(shop: Shop) -> None:
    file = tamper(shop, "silver.events_cleaned", without_its_last_row)
    assert file.day == TODAY
    laws = broken(shop)
    rows = named(laws, f"silver.events_cleaned {TODAY} {Path(file.location).name}", "rows noted = rows read")
    assert rows.left - rows.right == 1
    balance = named(laws, f"silver.event_hours {TODAY}", "valid = events + duplicates")
    assert balance.left - balance.right == 1
    assert f"{YESTERDAY}" not in " ".join(law.subject for law in laws)


def test_a_price_that_is_changed_in_silver_is_found(shop: Shop) -> None:
    tamper(shop, "silver.events_cleaned", with_more("price", Decimal("0.000001")))
    (law,) = [law for law in broken(shop) if law.terms == "amount noted = counted"]
    assert law.subject.startswith(f"silver.event_hours {TODAY} ")
    assert 0 < abs(Decimal(law.left) - Decimal(law.right)) < Decimal("0.0001")


def test_a_line_that_is_missing_in_bronze_is_found(shop: Shop) -> None:
    file = tamper(shop, "bronze.events", lambda rows: rows.filter(rows["problem"].is_null()).slice(1))
    laws = broken(shop)
    rows = named(laws, f"bronze.events {file.day} {Path(file.location).name}", "rows noted = rows read")
    assert rows.left - rows.right == 2  # the bad line too
    valid = named(laws, "silver.event_hours", "valid lines of live files = valid lines of all hours")
    assert valid.left - valid.right == 1
    assert any(law.terms == "valid = events + duplicates" for law in laws)


@pytest.mark.parametrize("term", ["lines", "blank", "valid", "quarantined"])
def test_a_count_that_is_changed_in_the_ledger_is_found(shop: Shop, term: str) -> None:
    tamper(shop, "bronze.ingested_files", with_more(term, 1))
    law = named(broken(shop), "bronze.ingested_files", "lines = blank + valid + quarantined")
    assert law.subject.endswith("a.jsonl.gz")
    assert law.left - law.right == (1 if term == "lines" else -1)


@pytest.mark.parametrize("term", ["valid", "events", "duplicates", "key_conflicts", "amount"])
def test_a_count_that_is_changed_in_the_books_is_found(shop: Shop, term: str) -> None:
    tamper(shop, "silver.event_hours", with_more(term, 1))
    (law,) = broken(shop)
    assert law.terms == f"{term} noted = counted"
    assert law.subject.startswith(f"silver.event_hours {TODAY} 11:00")
    assert law.left - law.right == 1


@pytest.mark.parametrize(
    ("table", "column", "terms"),
    [
        ("gold.hourly_revenue", "total_revenue", "sum of revenue = silver amount"),
        ("gold.conversion_funnel", "revenue", "sum of revenue = silver amount"),
        ("gold.category_performance", "revenue", "sum of revenue = silver amount"),
        ("gold.category_performance", "events", "sum of events = silver events"),
        ("gold.user_activity", "events", "events = silver events"),
    ],
)
def test_an_answer_that_is_changed_is_found_to_the_last_decimal(
    shop: Shop, table: str, column: str, terms: str
) -> None:
    more = 1 if column == "events" else Decimal("0.000001")
    tamper(shop, table, with_more(column, more))
    (law,) = broken(shop)
    assert (law.subject, law.terms, law.left - law.right) == (f"{table} {TODAY}", terms, more)


def test_a_row_that_is_missing_in_any_answer_is_found(shop: Shop) -> None:
    for answer in ("conversion_funnel", "hourly_revenue", "top_products", "category_performance"):
        file = tamper(shop, f"gold.{answer}", without_its_last_row)
        subject = f"gold.{answer} {TODAY} {Path(file.location).name}"
        law = named(broken(shop), subject, "rows noted = rows read")
        assert law.left - law.right == 1


def test_a_file_that_is_missing_is_named(shop: Shop) -> None:
    file = files_of(shop, "gold.top_products")[0]
    Path(file.location).unlink()
    with pytest.raises(LawBroken, match=r"gold.top_products: the file .* is missing"):
        shop.lake.verify()


# --- A run that breaks a law -----------------------------------------------------------------------------


def break_the_books(shop: Shop) -> None:
    """Make the next run that touches today break the law `events = rows` of silver by 2."""
    tamper(shop, "silver.event_hours", with_more("events", 2))


def assert_a_run_is_refused(shop: Shop) -> LawBroken:
    before = figures(shop)
    with pytest.raises(LawBroken) as caught:
        shop.run()
    assert figures(shop) == before
    return caught.value


def figures(shop: Shop) -> list[pa.Table]:
    """What readers are shown, but for what is told beside it."""
    with asking(shop.database) as ask:
        return [ask(f"FROM gold.{name} ORDER BY ALL", []) for name in ANSWERS]


def test_a_run_that_breaks_a_law_fails_with_table_day_and_difference(shop: Shop) -> None:
    sound = shop.expected()
    break_the_books(shop)
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"))
    error = assert_a_run_is_refused(shop)
    assert error.exit_code == 1
    assert f"{TODAY}" in error.message
    assert "silver.event" in error.message
    assert "difference -2" in error.message
    last = shop.lake.last_run()
    assert last is not None
    assert not last["laws_hold"]
    assert {law["subject"] for law in last["laws"] if not law["holds"]} >= {f"silver.events_cleaned {TODAY}"}
    for answer in ("hourly_revenue", "user_activity"):
        assert shop.lake.answer(answer).to_pylist() == getattr(sound, answer)


def test_the_next_empty_run_still_refuses_and_publishes_nothing(shop: Shop) -> None:
    break_the_books(shop)
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"))
    assert_a_run_is_refused(shop)
    error = assert_a_run_is_refused(shop)
    assert f"{TODAY}" in error.message
    assert error.exit_code == 1


def test_a_broken_day_is_not_published_by_a_later_run_over_another_day(shop: Shop) -> None:
    break_the_books(shop)
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"))
    assert_a_run_is_refused(shop)
    shop.deliver("c", view(timestamp=f"{TODAY - timedelta(days=5)}T11:00:00Z"))
    assert_a_run_is_refused(shop)


def test_a_broken_law_is_told_beside_the_figures_of_the_last_sound_state(shop: Shop) -> None:
    before = shop.lake.answer("user_activity")
    with asking(shop.database) as ask:
        assert published_trust(ask)["accounted"]
    break_the_books(shop)
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"))
    assert_a_run_is_refused(shop)
    with asking(shop.database) as ask:
        assert not published_trust(ask)["accounted"]
    assert shop.lake.answer("user_activity").equals(before)


def test_a_law_that_breaks_before_anything_was_published_publishes_nothing(shop: Shop) -> None:
    break_the_books(shop)
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"))
    shop.database.unlink()
    with pytest.raises(LawBroken):
        shop.run()
    assert not shop.database.exists()


def test_a_broken_law_is_found_though_the_run_was_cut_off_before_the_check(shop: Shop) -> None:
    break_the_books(shop)
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"))
    shop.progress = CutOffAfter("gold")
    with pytest.raises(RuntimeError):
        shop.run()
    shop.progress = None
    assert_a_run_is_refused(shop)


@pytest.mark.parametrize("stage", ["bronze", "silver", "gold"])
def test_a_sound_run_that_was_cut_off_is_completed_checked_and_recorded_by_the_next(
    shop: Shop, stage: str
) -> None:
    shop.deliver("b", view(timestamp="2025-06-15T11:00:00Z"), b"{")
    shop.progress = CutOffAfter(stage)
    with pytest.raises(RuntimeError):
        shop.run()
    shop.progress = None
    report = shop.run()
    assert_lake_is(shop.lake, shop.expected())
    assert (report.totals.valid, report.totals.quarantined, report.totals.events) == (1, 1, 1)
    assert report.laws
    last = shop.lake.last_run()
    assert last is not None
    assert last["lake"]["events"] == len(shop.expected().events)
    later = shop.lake.run(shop.source, now=NOW + timedelta(hours=1))
    assert later.totals.valid == 0


def test_the_report_after_a_cut_off_run_names_the_reasons_of_its_quarantined_lines(shop: Shop) -> None:
    shop.deliver("b", view(), b"{")
    shop.progress = CutOffAfter("silver")
    with pytest.raises(RuntimeError):
        shop.run()
    shop.progress = None
    report = shop.run()
    assert report.totals.quarantined == 1
    assert report.quarantined_by_reason == {"json_invalid": 1}
