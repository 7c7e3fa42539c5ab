"""The public Python API: what a notebook or a script sees of a lake."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import oracle
import pyarrow as pa
import pytest

import eventmint
from eventmint.contracts import ANSWERS, contract
from eventmint.engine.parquet import arrow_schema, read_rows
from eventmint.errors import EventmintError, FixData, FixSettings, LockHeld
from eventmint.lake import Lake, report_to_dict
from eventmint.serve.published import NOT_YET
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files
from eventmint.values import Law, LedgerEntry, RunReport, Totals

NOW = datetime(2026, 1, 20, tzinfo=UTC)
SOURCE_CODE = Path(__file__).parents[1] / "src"
HEAVY = {"duckdb", "pyarrow", "pyiceberg", "orjson", "isal", "click", "rich", "sqlalchemy", "pydantic"}


def line(**fields: Any) -> bytes:
    event = {
        "timestamp": "2026-01-15T10:00:00Z",
        "user_id": "u1",
        "session_id": "s1",
        "event_type": "page_view",
        "product_id": "P1",
        **fields,
    }
    return json.dumps(event).encode()


def purchase(**fields: Any) -> bytes:
    return line(event_type="purchase", **{"quantity": 2, "price": 0.1, **fields})


TEXTS = {
    "a": [line(), purchase(), line(), b"", b"not json", line(user_id=7, product_id="")],
    "b": [line(), purchase(timestamp="2026-01-16T10:00:00Z"), purchase(quantity=3), line(timestamp="soon")],
}
BROKEN = "events/truncated.jsonl.gz"


def deliver(source: Path, name: str, lines: list[bytes]) -> Path:
    path = source / "events" / f"{name}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text_of(lines), mtime=0))
    return path


def text_of(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def open_at(home: Path, **overrides: Any) -> Lake:
    return eventmint.open_lake(
        **{
            "source__path": str(home / "source"),
            "source__settle_seconds": 0.0,
            "lake__root": str(home / "lake"),
            "lake__database": str(home / "analytics.duckdb"),
            "run__workers": 1,
            **overrides,
        }
    )


@dataclasses.dataclass(frozen=True)
class Ran:
    """A lake after its first run, and what it is to hold."""

    lake: Lake
    report: RunReport
    truth: oracle.OracleLake


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = tmp_path_factory.mktemp("api")
    for name, lines in TEXTS.items():
        deliver(home / "source", name, lines)
    copy = deliver(home / "source", "copy of a", TEXTS["a"])
    (home / "source" / BROKEN).write_bytes(copy.read_bytes()[:-9])
    (home / "source" / "events" / "link.jsonl.gz").symlink_to(copy)
    lake = open_at(home)
    truth = oracle.lake([text_of(lines) for lines in TEXTS.values()], now=NOW)
    return Ran(lake, lake.run(now=NOW), truth)


# --- Opening ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_configuration_file_says_where_the_lake_is(kind: Any, tmp_path: Path) -> None:
    config = tmp_path / "shop" / "eventmint.toml"
    config.parent.mkdir()
    config.write_text('[source]\npath = "in"\n[lake]\nroot = "out"\n[quality]\ndedup = ["user_id"]\n')
    settings = eventmint.open_lake(kind(config)).settings
    assert (settings.source_path, settings.lake_root) == (tmp_path / "shop" / "in", tmp_path / "shop" / "out")
    assert settings.dedup_key == ("user_id",)
    assert [path.name for path in config.parent.iterdir()] == [config.name]  # nothing is created by opening


def test_overrides_beat_the_environment_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "eventmint.toml"
    config.write_text("[run]\nworkers = 2\nmemory_mb = 100\nbatch_mb = 3\n")
    monkeypatch.setenv("EVENTMINT_RUN__WORKERS", "4")
    monkeypatch.setenv("EVENTMINT_RUN__MEMORY_MB", "400")
    settings = eventmint.open_lake(config, run__workers=1).settings
    assert (settings.run.workers, settings.run.memory_mb, settings.run.batch_mb) == (1, 400, 3)


def test_without_a_name_the_file_of_the_current_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert eventmint.open_lake().settings.lake_root == tmp_path / "lake"
    (tmp_path / "eventmint.toml").write_text('[lake]\nroot = "elsewhere"\n')
    assert eventmint.open_lake().settings.lake_root == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "overrides",
    [
        {"lake__rot": "x"},
        {"lake": "x"},
        {"nonsense": 1},
        {"run__workers": "2"},
        {"run__workers": -1},
        {"contract__event_types": []},
        {"quality__dedup": ("nonsense",)},
    ],
)
def test_a_wrong_override_is_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(FixSettings):
        eventmint.open_lake(**overrides)


def test_a_missing_configuration_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FixSettings, match="no such configuration file"):
        eventmint.open_lake(tmp_path / "eventmint.toml")


# --- Before the first run ---------------------------------------------------------------------------------

QUESTIONS = {
    "answer": lambda lake: lake.answer("user_activity"),
    "sql": lambda lake: lake.sql("SELECT 1"),
    "ledger": lambda lake: lake.ledger(),
    "last_run": lambda lake: lake.last_run(),
    "layers": lambda lake: lake.layers(),
    "totals": lambda lake: lake.totals(),
    "quarantine": lambda lake: lake.quarantine(),
    "quarantine_by_reason": lambda lake: lake.quarantine_by_reason(),
    "verify": lambda lake: lake.verify(),
    "maintain": lambda lake: lake.maintain(),
    "what maintain would do": lambda lake: lake.maintain(dry_run=True),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_before_the_first_run_every_question_says_what_to_do(question: str, tmp_path: Path) -> None:
    with pytest.raises(FixData) as error:
        QUESTIONS[question](open_at(tmp_path))
    assert str(tmp_path) in error.value.message
    assert error.value.hint == NOT_YET
    assert error.value.exit_code == 1
    assert [*tmp_path.iterdir()] == []  # asking creates nothing


def test_a_source_that_is_not_there_is_told_and_nothing_is_created(tmp_path: Path) -> None:
    for lake, name in ((open_at(tmp_path), "source"), (open_at(tmp_path), "other")):
        with pytest.raises(FixSettings, match="no such source") as error:
            lake.run(tmp_path / name)
        assert name in error.value.message
    assert [*tmp_path.iterdir()] == []


def test_a_file_in_the_place_of_the_lake_is_told(tmp_path: Path) -> None:
    deliver(tmp_path / "source", "a", [line()])
    (tmp_path / "lake").write_text("mine")
    with pytest.raises(FixData, match="cannot be written"):
        open_at(tmp_path).run(now=NOW)
    assert (tmp_path / "lake").read_text() == "mine"


@pytest.mark.parametrize("name", ["what? a lake", "#1", "100%20", "back\\slash", "two\nlines", "lake[1]"])
def test_a_lake_in_an_oddly_named_folder_works_or_is_refused(name: str, tmp_path: Path) -> None:
    """Such names mean something to SQLite, to PyIceberg's addresses or to DuckDB's patterns."""
    deliver(tmp_path / "source", "a", [line()])
    try:
        lake = open_at(tmp_path, lake__root=str(tmp_path / "lakes" / name))
        report = lake.run(now=NOW)
    except FixSettings:
        assert not (tmp_path / "lakes").exists()
    else:
        assert report.lake.events == lake.sql("SELECT * FROM silver.events_cleaned").num_rows == 1
        assert [path.name for path in (tmp_path / "lakes").iterdir()] == [name]


# --- The report -------------------------------------------------------------------------------------------


def test_the_report_is_typed_and_says_what_the_oracle_says(ran: Ran) -> None:
    report, truth = ran.report, ran.truth
    expected = Totals(
        lines=truth.lines,
        blank=truth.blank,
        valid=truth.valid,
        quarantined=truth.quarantined,
        events=len(truth.events),
        duplicates=truth.duplicates,
        key_conflicts=1,
    )
    assert report.totals == report.lake == expected
    assert (report.files_landed, report.files_same_content, report.files_set_aside) == (2, 1, 1)
    assert (report.files_replaced, report.files_unsettled) == (0, 0)
    assert report.quarantined_by_reason == truth.quarantined_by_reason
    assert report.quarantine_rate == truth.quarantined / (truth.quarantined + truth.valid)
    assert report.days == (date(2026, 1, 15), date(2026, 1, 16))
    assert report.changed is True
    assert report.started_at == NOW
    assert report.seconds > 0
    assert report.seq == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.changed = False  # type: ignore[misc]


def test_files_that_cannot_be_read_are_named_with_a_reason(ran: Ran) -> None:
    (path,) = ran.report.set_aside
    assert path.endswith(BROKEN)
    assert ran.report.set_aside[path] == "gzip_truncated"
    ((skipped, reason),) = ran.report.skipped.items()
    assert skipped.endswith("link.jsonl.gz")
    assert reason == "symlink"


def test_every_law_was_checked_and_holds(ran: Ran) -> None:
    report = ran.report
    assert report.laws_hold is True
    assert {law.name for law in report.laws} == {"lines", "rows", "events", "answers", "money"}
    for law in report.laws:
        assert isinstance(law, Law)
        assert law.holds
        assert law.left == law.right
        assert type(law.left) is type(law.right)
        assert type(law.left) is (Decimal if law.name == "money" else int)
        assert "holds" in str(law)
    days = [law for law in report.laws if "2026-01-16" in law.subject]
    assert [law.left for law in days if law.name == "money"] == [Decimal("0.2")] * 3


def test_one_broken_law_is_a_broken_report(ran: Ran) -> None:
    broken = Law("events", "somewhere", "a = b", 3, 2)
    report = dataclasses.replace(ran.report, laws=(*ran.report.laws, broken))
    assert not report.laws_hold
    assert str(broken) == "somewhere: a = b: 3 = 2 broken by 1"


def test_the_record_of_the_run_is_the_report_as_plain_data(ran: Ran) -> None:
    record = ran.lake.last_run()
    assert record is not None
    assert record == json.loads(json.dumps(report_to_dict(ran.report)))
    assert record["laws_hold"] is True
    assert record["days"] == ["2026-01-15", "2026-01-16"]
    assert {*record} == {field.name for field in dataclasses.fields(RunReport)} | {"laws_hold"}


def test_verify_proves_every_law_again(ran: Ran) -> None:
    laws = ran.lake.verify()
    assert all(law.holds for law in laws)
    assert {law.name for law in laws} == {"lines", "rows", "events", "answers", "money", "books"}


# --- Reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_an_arrow_table_in_the_contracts_types(name: str, ran: Ran) -> None:
    table = ran.lake.answer(name)
    assert isinstance(table, pa.Table)
    assert [(f.name, f.type) for f in table.schema] == [
        (f.name, f.type) for f in arrow_schema(contract(f"gold.{name}"))
    ]
    assert table.to_pylist() == getattr(ran.truth, name)
    assert ran.lake.answer(name, start=date(2026, 1, 17)).num_rows == 0


def test_sql_gives_an_arrow_table(ran: Ran) -> None:
    table = ran.lake.sql("SELECT SUM(total_revenue) AS revenue FROM hourly_revenue")
    assert isinstance(table, pa.Table)
    assert table.to_pylist() == [{"revenue": Decimal("0.7")}]
    assert ran.lake.sql("SELECT * FROM silver.events_cleaned", limit=2).num_rows == 2


def test_the_ledger_says_what_became_of_each_file(ran: Ran) -> None:
    entries = {Path(entry.path).name.split(".")[0]: entry for entry in ran.lake.ledger().entries}
    assert all(isinstance(entry, LedgerEntry) for entry in entries.values())
    assert {name: entry.status for name, entry in entries.items()} == {
        "a": "landed",
        "b": "landed",
        "copy of a": "same_content",
        "truncated": "set_aside",
    }
    a = entries["a"]
    assert (a.lines, a.blank, a.valid, a.quarantined, a.seq) == (6, 1, 3, 2, 1)
    assert a.sha256 == entries["copy of a"].sha256
    assert a.first_event_time == a.last_event_time == datetime(2026, 1, 15, 10, tzinfo=UTC)
    assert entries["truncated"].reason == "gzip_truncated"


def test_layers_and_totals_are_the_books_of_the_lake(ran: Ran) -> None:
    truth = ran.truth
    rows = {layer["table"]: layer["rows"] for layer in ran.lake.layers()}
    assert rows == {
        "bronze.events": truth.valid + truth.quarantined,
        "silver.events_cleaned": len(truth.events),
        **{f"gold.{name}": len(getattr(truth, name)) for name in ANSWERS},
    }
    assert {layer["batch"] for layer in ran.lake.layers()} == {1}
    assert ran.lake.totals() == ran.report.lake


def test_quarantined_lines_come_with_everything_needed_to_mend_them(ran: Ran) -> None:
    lines = ran.lake.quarantine()
    assert [(row["line_number"], row["problem"], row["raw"]) for row in lines] == [
        (5, "json_invalid", b"not json"),
        (6, "user_id_wrong_type, product_id_empty", TEXTS["a"][5]),
        (4, "timestamp_invalid", TEXTS["b"][3]),
    ]
    assert [Path(row["source_file"]).name for row in lines] == ["a.jsonl.gz", "a.jsonl.gz", "b.jsonl.gz"]
    assert ran.lake.quarantine(limit=1) == lines[:1]
    assert ran.lake.quarantine(limit=0) == []


def test_quarantined_lines_are_found_by_each_of_their_reasons(ran: Ran) -> None:
    counted = ran.lake.quarantine_by_reason()
    assert counted == ran.truth.quarantined_by_reason
    for reason, count in counted.items():
        found = ran.lake.quarantine(reason)
        assert len(found) == count
        assert all(reason in row["problem"].split(", ") for row in found)


@pytest.mark.parametrize(
    "reason",
    [
        "product_id",
        "json",
        "no_such_reason",
        "x' OR 1=1 --",
        "'; DROP TABLE x; --",
        "json_invalid, ",
        "%",
        "\x00",
    ],
)
def test_a_reason_is_a_word_and_never_sql(reason: str, ran: Ran) -> None:
    assert ran.lake.quarantine(reason) == []


# --- Running again ----------------------------------------------------------------------------------------


def test_runs_report_what_each_took_in(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    (tmp_path / "source").mkdir()
    empty = lake.run(now=NOW)
    assert (empty.changed, empty.lake, empty.laws) == (False, Totals(), ())
    assert lake.last_run() is None
    assert lake.answer("user_activity").num_rows == 0  # published, typed, empty
    assert lake.totals() == Totals()
    assert lake.quarantine() == []

    file = deliver(tmp_path / "source", "a", [line(), b"x"])
    first = lake.run(file, now=NOW)
    assert (first.changed, first.files_landed, first.totals.events, first.lake.events) == (True, 1, 1, 1)
    again = lake.run(file, now=NOW + timedelta(minutes=1))
    assert (again.changed, again.totals, again.lake) == (False, Totals(), first.lake)

    deliver(tmp_path / "source", "b", [line(), line(user_id="u2")])
    second = lake.run(now=NOW + timedelta(minutes=5))
    assert second.totals == Totals(lines=2, valid=2, events=1, duplicates=1)
    assert second.lake == Totals(lines=4, valid=3, quarantined=1, events=2, duplicates=1)
    assert (first.seq, second.seq) == (1, 2)
    record = lake.last_run()
    assert record is not None
    assert record["run_id"] == second.run_id > first.run_id


def test_runs_of_one_instant_keep_a_record_each(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    for name in "ab":
        deliver(tmp_path / "source", name, [line(user_id=name)])
        lake.run(now=NOW)
    shape = contract("ops.runs")
    recorded = live_files(LakeCatalog(tmp_path / "lake").load(shape), shape)
    records = [json.loads(row["report"]) for row in read_rows(file.location for file in recorded)]
    assert sorted(record["lake"]["events"] for record in records) == [1, 2]


def test_a_replaced_file_takes_back_what_it_had_given(tmp_path: Path) -> None:
    lake = open_at(tmp_path)
    deliver(tmp_path / "source", "a", [line(), line(user_id="u2"), b"x"])
    lake.run(now=NOW)
    deliver(tmp_path / "source", "a", [line()])
    report = lake.run(now=NOW + timedelta(minutes=5))
    assert (report.files_landed, report.files_replaced) == (1, 1)
    assert report.totals.events == -1
    assert report.lake.events == 1
    assert lake.answer("user_activity").to_pylist() == [
        {"event_date": date(2026, 1, 15), "unique_users": 1, "unique_sessions": 1, "events": 1}
    ]


# --- One at a time ----------------------------------------------------------------------------------------

HOLD_THE_LOCK = """
import fcntl, sys
with open(sys.argv[1], "a") as handle:
    fcntl.flock(handle, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(ran: Ran) -> Iterator[subprocess.Popen[str]]:
    """Another process is at work on the lake."""
    lock = ran.lake.settings.lake_root / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("held")
def test_a_second_process_is_told_that_the_lake_is_taken(ran: Ran) -> None:
    for work in (ran.lake.run, ran.lake.verify):
        with pytest.raises(LockHeld) as error:
            work()
        assert error.value.exit_code == 4
        assert str(ran.lake.settings.lake_root) in error.value.message
    assert ran.lake.answer("user_activity").num_rows == 2  # readers wait for nobody


def test_the_lock_ends_with_the_process_however_it_ends(ran: Ran, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait(10)
    assert not ran.lake.run(now=NOW).changed


def test_a_second_thread_is_told_that_the_lake_is_taken(tmp_path: Path) -> None:
    at_work, may_go_on = threading.Event(), threading.Event()

    class Waiting:
        """A watcher who holds the run at its first stage."""

        def start(self, stage: str, files: int, size_bytes: int) -> None:
            assert stage
            assert files + size_bytes >= 0
            at_work.set()
            may_go_on.wait(20)

        def advance(self, files: int, size_bytes: int, lines: int) -> None: ...

        def finish(self, stage: str, note: str) -> None: ...

    deliver(tmp_path / "source", "a", [line()])
    lake = open_at(tmp_path)
    reports: list[RunReport] = []
    first = threading.Thread(target=lambda: reports.append(Lake(lake.settings, Waiting()).run(now=NOW)))
    first.start()
    try:
        assert at_work.wait(20)
        with pytest.raises(LockHeld):
            lake.run(now=NOW)
    finally:
        may_go_on.set()
        first.join(30)
    assert [report.totals.events for report in reports] == [1]
    assert not lake.run(now=NOW).changed


# --- The package ------------------------------------------------------------------------------------------


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh Python has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE_CODE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {*done.stdout.split()}


def test_importing_the_package_is_light() -> None:
    assert not modules_after("import eventmint; eventmint.__version__") & HEAVY
    assert modules_after("from eventmint import open_lake") >= {"duckdb", "pyarrow"}


def test_the_public_names_are_these() -> None:
    assert sorted(eventmint.__all__) == ["Lake", "__version__", "open_lake"]
    assert eventmint.Lake is Lake
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = eventmint.nothing


def test_the_package_says_that_it_is_typed() -> None:
    assert files("eventmint").joinpath("py.typed").is_file()


def test_every_error_has_one_root_and_an_exit_code() -> None:
    def family(error: type[EventmintError]) -> Iterator[type[EventmintError]]:
        yield error
        for child in error.__subclasses__():
            yield from family(child)

    errors = {error.__name__: error.exit_code for error in family(EventmintError)}
    assert (
        errors.items()
        >= {
            "FixSettings": 2,
            "FixData": 1,
            "LawBroken": 1,
            "TryAgain": 1,
            "LockHeld": 4,
            "Bug": 1,
        }.items()
    )
    assert str(FixData("What happened.", "What to do.")) == "What happened. What to do."
    assert str(FixData("What happened.")) == "What happened."
