"""The pipeline over S3 and the Glue catalog is the pipeline of a folder: the same rows, the same answers.

What is delivered to a folder is delivered to a bucket too; both lakes run, and every table is compared.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from deliveries import MADE_TABLES, NOW, CutOffAfter, Row, Shop, event, random_events, rows_of
from pyiceberg.table import Transaction

import eventmint
from eventmint.aws.names import Names
from eventmint.errors import FixData, FixSettings, LawBroken, LockHeld, TryAgain
from eventmint.lake import Lake
from eventmint.serve import answers, follow
from eventmint.serve.pages.trust import published_trust
from eventmint.storage import s3
from eventmint.values import DayRange

NAMES = Names("dev", "123456789012")
KILLED_AT = [("after", 1), ("before", 3), ("after", 4), ("before", 12)]


class Account:
    """The two buckets of a deployment."""

    def __init__(self) -> None:
        self.client = boto3.client("s3")
        place = {"LocationConstraint": "us-west-2"}
        for bucket in (NAMES.source_bucket, NAMES.analytics_bucket):
            self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)

    def mirror(self, folder: Path) -> None:
        """Make the source bucket hold the files of a folder."""
        for path in sorted(folder.rglob("*.gz")):
            self.client.upload_file(str(path), NAMES.source_bucket, path.relative_to(folder).as_posix())

    def empty(self, bucket: str) -> None:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                self.client.delete_object(Bucket=bucket, Key=item["Key"])

    def keys(self, prefix: str) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=NAMES.analytics_bucket, Prefix=prefix
        )
        return {item["Key"] for page in pages for item in page.get("Contents", ())}


@pytest.fixture
def account(aws: str) -> Iterator[Account]:
    del aws
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    yield Account()
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()


def lake_in_s3(database: str = "", **settings: Any) -> Lake:
    return eventmint.open_lake(
        source__path=NAMES.source,
        lake__root=NAMES.lake,
        lake__database=database,
        aws__id=NAMES.id,
        **{"run__workers": 1, **settings},
    )


def assert_same_rows(lake: Lake, expected: Lake) -> None:
    for table in MADE_TABLES:
        assert rows_of(lake, table) == rows_of(expected, table), table
    here, there = ([without_place(row) for row in rows_of(one, "bronze.events")] for one in (lake, expected))
    assert sorted(here, key=repr) == sorted(there, key=repr)
    assert lake.totals() == expected.totals()


def without_place(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("source_file", "received_at")}


# --- The same rows ---------------------------------------------------------------------------------------


def test_sample_data_in_s3_gives_the_rows_and_answers_of_a_folder(
    account: Account, sample_lake: Path, tmp_path: Path
) -> None:
    account.mirror(Path(__file__).parents[2] / "sample-data")
    lake = lake_in_s3(str(tmp_path / "analytics.duckdb"))
    report = lake.run()
    assert report.laws_hold
    assert report.files_landed == 24
    local = eventmint.open_lake(sample_lake / "eventmint.toml")
    assert_same_rows(lake, local)
    for answer in eventmint.contracts.ANSWERS:
        assert lake.answer(answer).to_pylist() == local.answer(answer).to_pylist()
    assert lake.quarantine_by_reason() == local.quarantine_by_reason()
    assert all(law.holds for law in lake.verify())
    assert account.keys("lake/.scratch") == set()
    assert account.keys("lake/.lock") == set()


def test_a_reader_elsewhere_follows_what_runs_publish_and_never_sees_half_of_one(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    shop = Shop(tmp_path / "shop")
    reader = lake_in_s3(str(tmp_path / "reader" / "analytics.duckdb"))
    with pytest.raises(FixData, match="nothing has been published yet"):
        reader.answer("user_activity")

    def deliver(name: str, *rows: Row | bytes) -> None:
        shop.deliver(name, *rows)
        account.mirror(shop.source)

    deliver("a", *random_events(Random(1), 40))
    writer = lake_in_s3()
    writer.run(now=NOW)
    first = reader.answer("user_activity")
    assert sum(first.column("events").to_pylist()) == writer.totals().events
    with answers.asking(reader.settings.database_path) as ask:
        assert published_trust(ask)["accounted"]

    deliver("b", *random_events(Random(2), 40))
    cut_off = Lake(writer.settings, progress=CutOffAfter("silver"))
    with pytest.raises(RuntimeError):
        cut_off.run(now=NOW)
    assert reader.answer("user_activity").equals(first)
    late = lake_in_s3(str(tmp_path / "other" / "analytics.duckdb"))
    with pytest.raises(TryAgain, match="a run is at work, or was cut off"):
        late.answer("user_activity")
    writer.run(now=NOW)
    assert sum(reader.answer("user_activity").column("events").to_pylist()) == writer.totals().events
    assert not reader.answer("user_activity").equals(first)


def test_increments_with_late_repeated_and_replaced_files_give_the_same_rows(
    account: Account, tmp_path: Path
) -> None:
    rng = Random(7)
    shop = Shop(tmp_path / "shop")
    pool = random_events(rng, 60)
    deliveries: list[dict[str, list[Row | bytes]]] = [
        {"a": [*pool[:20], b"{"], "b": [*pool[10:30], event()]},
        {
            "late": [{**pool[3], "timestamp": "2025-06-10T23:59:59.999Z"}],
            "copy of b": [*pool[10:30], event()],
        },
        {"a": [*pool[:8], *pool[30:45], event(quantity=7)]},
    ]
    for number, files in enumerate(deliveries):
        for name, lines in files.items():
            shop.deliver(name, *lines)
        account.mirror(shop.source)
        shop.run()
        report = lake_in_s3().run(now=NOW + timedelta(minutes=number))
        assert report.laws_hold
        assert report.files_same_content == (1 if number == 1 else 0)
        assert report.files_replaced == (1 if number == 2 else 0)
        assert_same_rows(lake_in_s3(), shop.lake)
    before = account.keys("")
    assert not lake_in_s3().run(now=NOW + timedelta(hours=1)).changed
    assert account.keys("") == before


def test_given_names_are_taken_and_a_full_listing_later_finds_what_they_missed(
    account: Account, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "shop")
    for name in "ab":
        shop.deliver(name, *random_events(Random(name), 5))
    account.mirror(shop.source)
    report = lake_in_s3().run(now=NOW, only=[f"{NAMES.source}b.jsonl.gz", f"{NAMES.source}gone.jsonl.gz"])
    assert [entry.path for entry in lake_in_s3().ledger().entries] == [f"{NAMES.source}b.jsonl.gz"]
    assert report.files_landed == 1
    lake_in_s3().run(now=NOW + timedelta(minutes=1), only=[])
    assert lake_in_s3().run(now=NOW + timedelta(minutes=2)).files_landed == 1
    shop.run()
    assert_same_rows(lake_in_s3(), shop.lake)


def test_maintenance_in_s3_merges_files_forgets_and_sweeps_and_changes_no_row(
    account: Account, tmp_path: Path
) -> None:
    rng = Random(8)
    shop = Shop(tmp_path / "shop")
    for number, name in enumerate("ab"):
        shop.deliver(name, *random_events(rng, 12), event(), b"{")
        account.mirror(shop.source)
        shop.run()
        lake_in_s3().run(now=NOW + timedelta(minutes=number))
    bronze = "lake/bronze/events/data"
    account.client.put_object(Bucket=NAMES.analytics_bucket, Key=f"{bronze}/left.parquet", Body=b"left")
    made = lake_in_s3().maintain(now=datetime.now(UTC) + timedelta(days=10))
    found = {table.table: table for table in made.tables}
    assert (found["bronze.events"].files_before, found["bronze.events"].files_after) == (2, 1)
    assert found["bronze.events"].orphans_removed == 1
    assert found["bronze.events"].snapshots_expired > 0
    assert len(account.keys(bronze)) == 1
    assert_same_rows(lake_in_s3(), shop.lake)
    assert [str(law) for law in lake_in_s3().verify(deep=True) if not law.holds] == []
    assert account.keys("lake/.scratch") == set()
    shop.deliver("c", *random_events(rng, 5), event())
    account.mirror(shop.source)
    shop.run()
    lake_in_s3().run(now=NOW + timedelta(minutes=5))
    assert_same_rows(lake_in_s3(), shop.lake)


def test_a_replay_in_s3_ends_where_one_in_a_folder_does(account: Account, tmp_path: Path) -> None:
    wider = {"contract__event_types": ["page_view", "purchase", "refund"]}
    shop = Shop(tmp_path / "shop")
    for number, name in enumerate("ab"):
        shop.deliver(name, *random_events(Random(number), 12), event(event_type="refund"), b"\xff", b"{\r")
        account.mirror(shop.source)
        shop.run()
        lake_in_s3().run(now=NOW + timedelta(minutes=number))
    shop.settings |= wider
    expected = shop.lake.replay_quarantine(now=NOW)
    lake = lake_in_s3(str(tmp_path / "reader.duckdb"), **wider)
    plan = lake.replay_quarantine(now=NOW, dry_run=True)
    made = lake.replay_quarantine(now=NOW)
    assert (plan.passed, made.passed) == (expected.passed, expected.passed)
    assert expected.passed > 0
    for table in MADE_TABLES:
        assert rows_of(lake, table) == rows_of(shop.lake, table), table
    assert lake.totals() == shop.lake.totals()
    assert lake.quarantine_by_reason() == shop.lake.quarantine_by_reason()
    assert lake.answer("user_activity").equals(shop.lake.answer("user_activity"))
    assert [str(law) for law in lake.verify(deep=True) if not law.holds] == []
    assert account.keys("lake/.scratch") == account.keys("lake/.lock") == set()
    before = account.keys("")
    assert not lake.replay_quarantine(now=NOW).changed
    assert account.keys("") == before
    for one, name in ((lake, "s3"), (shop.lake, "folder")):
        assert one.export_quarantine(tmp_path / name).lines == 4
    assert (tmp_path / "s3").read_bytes() == (tmp_path / "folder").read_bytes()


def test_days_of_a_lake_in_s3_are_made_anew_under_another_key_as_in_a_folder(
    account: Account, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "shop")
    for number, name in enumerate("ab"):
        shop.deliver(name, *random_events(Random(number), 12), event(quantity=number + 1), event())
        account.mirror(shop.source)
        shop.run()
        lake_in_s3().run(now=NOW + timedelta(minutes=number))
    other = {"quality__dedup": ["event_time", "user_id"]}
    shop.settings |= other
    expected = shop.lake.restate(DayRange(), now=NOW)
    lake = lake_in_s3(str(tmp_path / "reader.duckdb"), **other)
    before = account.keys("")
    plan = lake.restate(DayRange(), now=NOW, dry_run=True)
    assert account.keys("") == before
    made = lake.restate(DayRange(), now=NOW)
    assert (plan.lines, made.lines, made.events) == (expected.lines, expected.lines, expected.events)
    assert expected.events < 0
    for table in MADE_TABLES:
        assert rows_of(lake, table) == rows_of(shop.lake, table), table
    assert lake.answer("user_activity").equals(shop.lake.answer("user_activity"))
    assert [str(law) for law in lake.verify(deep=True) if not law.holds] == []
    assert account.keys("lake/.scratch") == account.keys("lake/.lock") == set()
    assert not lake.run(now=NOW + timedelta(minutes=5)).changed


def test_a_rollback_in_s3_brings_back_what_a_run_had_left(account: Account, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    lake = lake_in_s3(str(tmp_path / "reader.duckdb"))
    states, answers = [], []
    for number, name in enumerate("ab"):
        shop.deliver(name, *random_events(Random(number), 12), b"{")
        account.mirror(shop.source)
        lake.run(now=NOW + timedelta(minutes=number))
        states.append([rows_of(lake, table) for table in ("bronze.events", *MADE_TABLES)])
        answers.append(lake.answer("user_activity").to_pylist())
    first, second = (run["run_id"] for run in lake.runs())
    assert lake.answer("user_activity", as_of=first).to_pylist() == answers[0] != answers[1]
    for run, state, answer in ((first, states[0], answers[0]), (second, states[1], answers[1])):
        assert lake.rollback(run, now=NOW + timedelta(minutes=5)).changed
        assert [rows_of(lake, table) for table in ("bronze.events", *MADE_TABLES)] == state
        assert lake_in_s3(str(tmp_path / "reader.duckdb")).answer("user_activity").to_pylist() == answer
        assert [str(law) for law in lake.verify(deep=True) if not law.holds] == []
    assert account.keys("lake/.scratch") == account.keys("lake/.lock") == set()


# --- Trouble ---------------------------------------------------------------------------------------------


def test_a_lake_that_is_not_there_says_what_to_do(account: Account) -> None:
    del account
    with pytest.raises(FixData, match=f"{NAMES.lake}: there is no lake here yet"):
        lake_in_s3().ledger()


def test_a_table_of_another_lake_is_refused(account: Account) -> None:
    lake_in_s3().run(now=NOW)
    elsewhere = eventmint.open_lake(
        source__path=NAMES.source,
        lake__root=f"s3://{NAMES.analytics_bucket}/another-lake",
        lake__database="",
        aws__id=NAMES.id,
    )
    before = account.keys("lake")
    with pytest.raises(FixSettings, match="bronze_dev.events lies in .*/lake/bronze/events, not in"):
        elsewhere.run(now=NOW)
    assert account.keys("lake") == before


def test_a_table_that_something_else_made_gets_the_settings_that_safe_commits_need(account: Account) -> None:
    """A template, or a person, may have created the tables without them."""
    lake_in_s3().run(now=NOW)
    table = lake_in_s3()._catalog._open().load_table(("bronze_dev", "events"))
    with table.transaction() as transaction:
        transaction.remove_properties("commit.retry.num-retries")
    account.client.put_object(Bucket=NAMES.source_bucket, Key="events/a.jsonl.gz", Body=b"")
    lake_in_s3().run(now=NOW)
    table = lake_in_s3()._catalog._open().load_table(("bronze_dev", "events"))
    assert table.properties["commit.retry.num-retries"] == "0"


def test_a_file_that_somebody_removed_is_named_by_verify(account: Account, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    shop.deliver("a", event())
    account.mirror(shop.source)
    lake_in_s3().run(now=NOW)
    (key,) = account.keys("lake/silver/events_cleaned/data/")
    account.client.delete_object(Bucket=NAMES.analytics_bucket, Key=key)
    with pytest.raises(LawBroken, match=f"silver.events_cleaned: the file .*{key} is missing"):
        lake_in_s3().verify()


def test_a_second_run_is_refused_while_one_is_at_work(account: Account) -> None:
    del account
    with s3.lock(NAMES.lake), pytest.raises(LockHeld):
        lake_in_s3().run(now=NOW)


# --- Killed between write and commit ---------------------------------------------------------------------


def test_killed_around_a_commit_the_next_run_ends_where_the_killed_one_would_have(
    account: Account, tmp_path: Path
) -> None:
    shop = Shop(tmp_path / "shop")
    shop.deliver("a", *random_events(Random(1), 20), b"{")
    shop.deliver("b", *random_events(Random(2), 20), event(), event())
    shop.run()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for when, number in KILLED_AT:
        account.empty(NAMES.analytics_bucket)
        drop_tables()
        account.mirror(shop.source)
        program = [sys.executable, __file__, when, str(number)]
        killed = subprocess.run(program, env=environment, check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL, (when, number)
        time.sleep(1.1)  # until its lease has run out
        report = lake_in_s3().run(now=NOW)
        assert report.laws_hold
        assert_same_rows(lake_in_s3(), shop.lake)
        entries = [replace(entry, seq=0, batch="") for entry in lake_in_s3().ledger().entries]
        assert len(entries) == 2


def drop_tables() -> None:
    glue = boto3.client("glue")
    for database in glue.get_databases()["DatabaseList"]:
        glue.delete_database(Name=database["Name"])
    s3.downloads.cache_clear()


def run_and_die(when: str, number: int) -> None:
    """Run, and be killed before or after the commit of this number."""
    real = Transaction.commit_transaction
    count = 0

    def commit_transaction(transaction: Transaction) -> Any:
        nonlocal count
        count += 1
        if (when, number) == ("before", count):
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(transaction)
        if (when, number) == ("after", count):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(Transaction, "commit_transaction", commit_transaction)  # noqa: B010 - no type for a replaced method
    s3.LEASE_SECONDS = 1
    lake_in_s3().run(now=NOW)


if __name__ == "__main__":
    run_and_die(sys.argv[1], int(sys.argv[2]))
