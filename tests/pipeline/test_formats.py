"""Lakes of other formats: hand-made files in, out the events that a person reads in them; all laws hold."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from oracle import microseconds

from eventmint.cli import main
from eventmint.engine import duckdb_engine
from eventmint.lake import Lake, open_lake

SAMPLES = REPOSITORY / "tests" / "formats"
FILES = {
    "segment": "segment.jsonl",
    "ga4": "ga4.jsonl",
    "snowplow": "snowplow.jsonl",
    "rees46-csv": "rees46-csv.csv",
}
OPTIONAL = {"segment": ["session_id"]}  # its spec has no sessions
COLUMNS = "user_id, session_id, event_type, product_id, category, quantity, price, search_query"
Row = tuple[Any, ...]


def lake_of(name: str, folder: Path, texts: list[bytes], **settings: Any) -> Lake:
    (folder / "data").mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        file = folder / "data" / f"{number}.gz"
        if not file.exists():
            file.write_bytes(gzip.compress(text))
    return open_lake(
        source__path=str(folder / "data"),
        source__pattern="*.gz",
        source__settle_seconds=0,
        source__format=name,
        contract__optional=OPTIONAL.get(name, []),
        lake__root=str(folder / "lake"),
        lake__database=str(folder / "analytics.duckdb"),
        **settings,
    )


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def expected_rows(events: list[dict[str, Any]]) -> Counter[Row]:
    return Counter(
        (
            microseconds(datetime.fromisoformat(event["timestamp"])),
            *(event[name] for name in ("user_id", "session_id", "event_type", "product_id", "category")),
            event["quantity"],
            None if event["price"] is None else Decimal(event["price"]),
            event["search_query"],
            canonical(event["extra"]),
        )
        for event in events
    )


@pytest.mark.parametrize("name", FILES)
def test_a_sample_becomes_the_events_that_a_person_reads_in_it(name: str, tmp_path: Path) -> None:
    text = (SAMPLES / FILES[name]).read_bytes()
    expected = json.loads((SAMPLES / f"{name}.expected.json").read_text(encoding="utf-8"))
    lake = lake_of(name, tmp_path, [text])
    report = lake.run()
    assert report.laws_hold
    valid = len(expected["events"]) + expected["duplicates"]
    totals = report.totals
    assert (totals.lines, totals.blank, totals.valid) == (expected["lines"], expected["blank"], valid)
    assert (totals.events, totals.duplicates) == (len(expected["events"]), expected["duplicates"])

    found = lake.sql(
        f"SELECT EPOCH_US(event_time) AS at, {COLUMNS}, extra FROM bronze.events WHERE problem IS NULL"  # noqa: S608
    ).to_pylist()
    rows = Counter((*list(row.values())[:-1], canonical(json.loads(row["extra"] or "{}"))) for row in found)
    wanted = expected_rows(expected["events"])
    assert {*rows} == {*wanted}
    assert rows.total() - wanted.total() == expected["duplicates"]
    silver = lake.sql(f"SELECT EPOCH_US(event_time) AS at, {COLUMNS} FROM silver.events_cleaned").to_pylist()  # noqa: S608
    assert Counter(tuple(row.values()) for row in silver) == Counter(row[:-1] for row in wanted.elements())

    lines = text.split(b"\n")
    bad = lake.sql(
        "SELECT line_number, problem, raw FROM bronze.events WHERE problem IS NOT NULL"
    ).to_pylist()
    assert {str(row["line_number"]): row["problem"] for row in bad} == expected["quarantined"]
    assert all(lines[row["line_number"] - 1] == row["raw"] for row in bad)
    assert len(bad) == totals.quarantined

    # Of all formats once: the deep proof knows rows and ledger, not where they came from.
    assert all(law.holds for law in lake.verify(deep=name == "segment"))
    assert not lake.run().changed


def test_lines_that_are_no_events_by_rights_are_no_alarm(tmp_path: Path) -> None:
    calls = [b'{"type": "page"}\n' * 99, b'{"type": "page"}\n{"type": "wave"}']
    lake = lake_of("segment", tmp_path, [calls[0]])
    report = lake.run()
    assert (report.totals.quarantined, report.quarantine_rate) == (99, 0.0)
    lake = lake_of("segment", tmp_path, calls)
    report = lake.run()
    assert (report.totals.quarantined, report.quarantine_rate) == (2, 1.0)


def test_the_exit_code_tells_of_names_that_the_mapping_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eventmint.toml").write_text(
        '[source]\nformat = "own.toml"\npattern = "*.csv.gz"\nsettle_seconds = 0\n', encoding="utf-8"
    )
    (tmp_path / "own.toml").write_text('base = "rees46-csv"\n[event_types]\ncart = false\n', encoding="utf-8")
    lines = (SAMPLES / "rees46-csv.csv").read_bytes().split(b"\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv.gz").write_bytes(gzip.compress(b"\n".join([*lines[:4], b""])))
    assert main(["-C", str(tmp_path), "run"]) == 0
    assert "4 lines: 2 new events, 0 duplicates, 2 quarantined" in capsys.readouterr().out
    (tmp_path / "data" / "b.csv.gz").write_bytes(gzip.compress(b"\n".join([lines[0], lines[11], lines[4]])))
    assert main(["-C", str(tmp_path), "run"]) == 3
    said = capsys.readouterr().err
    assert "1 of 2 lines are quarantined (50.00%, allowed are 1.00%), mostly event_type_unmapped 1." in said


def test_another_format_counts_for_the_files_that_come_from_then_on(tmp_path: Path) -> None:
    order = b'{"type":"track","event":"Product Viewed","userId":"u","timestamp":"2026-01-15T10:00:00Z",'
    order += b'"properties":{"product_id":"p","session_id":"s"}}'
    native = b'{"timestamp":"2026-01-15T11:00:00Z","user_id":"u","session_id":"s","event_type":"search"}'
    first = lake_of("events", tmp_path, [native]).run()
    second = lake_of("segment", tmp_path, [native, order]).run()
    assert (first.lake.events, second.lake.events, second.lake.quarantined) == (1, 2, 0)
    assert second.laws_hold


def test_worker_processes_land_another_format_as_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_engine, "_WORTH_A_PROCESS_BYTES", 0)  # however small the files are
    text = (SAMPLES / "ga4.jsonl").read_bytes()
    texts = [text, text.replace(b"77.1", b"79.3"), text.replace(b"78.2", b"80.4")]
    many, one = tmp_path / "many", tmp_path / "one"
    many.mkdir()
    one.mkdir()
    rows = []
    for folder, workers in ((many, 2), (one, 1)):
        lake = lake_of("ga4", folder, texts, run__workers=workers)
        assert lake.run().laws_hold
        found = lake.sql(f"SELECT {COLUMNS}, problem, line_number, raw, extra FROM bronze.events")  # noqa: S608
        rows.append(Counter(tuple(row.values()) for row in found.to_pylist()))
    assert rows[0] == rows[1]
    assert rows[0].total() == 3 * 18


def test_the_contract_shows_the_format_and_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eventmint.toml").write_text('[source]\nformat = "ga4"\n', encoding="utf-8")
    assert main(["-C", str(tmp_path), "contract", "show"]) == 0
    shown = capsys.readouterr().out
    assert "format ga4" in shown
    assert "view_item" in shown
    assert main(["-C", str(tmp_path), "--json", "contract", "show"]) == 0
    rules = json.loads(capsys.readouterr().out)["events"]
    assert (rules["format"], rules["mapping"]["event_types"]["view_item"]) == ("ga4", "page_view")


def test_an_order_that_leaves_the_quarantine_is_as_many_events_as_it_has_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"\n".join(
        line.replace(b'"sessionId"', b'"tab"')
        for line in (SAMPLES / FILES["segment"]).read_bytes().splitlines()
    )
    folders = tmp_path / "narrow", tmp_path / "fresh"
    for folder, optional in zip(folders, ([], ["session_id"]), strict=True):
        folder.mkdir()
        monkeypatch.setitem(OPTIONAL, "segment", optional)
        lake_of("segment", folder, [text]).run()
    lake, fresh = (lake_of("segment", folder, []) for folder in folders)
    assert (lake.totals().events, fresh.totals().events) == (0, 9)
    made = lake.replay_quarantine()
    assert (made.passed, lake.totals().valid) == (9, 10)  # one order is of two products
    assert lake.totals() == fresh.totals()
    assert lake.quarantine_by_reason() == fresh.quarantine_by_reason()
    rows = f"SELECT event_time, {COLUMNS}, extra, problem FROM bronze.events ORDER BY ALL"  # noqa: S608
    assert lake.sql(rows).equals(fresh.sql(rows))
    assert lake.answer("conversion_funnel").equals(fresh.answer("conversion_funnel"))
    assert all(law.holds for law in lake.verify(deep=True))
    assert not lake.replay_quarantine().changed
