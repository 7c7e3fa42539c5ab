"""Watching a lake: runs by themselves, what they did, and whether anything still comes in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from shops import event, lake_in, write_events

from eventmint import cli
from eventmint.lake import Lake
from eventmint.serve.documents import staleness
from eventmint.storage import lock

REPOSITORY = Path(__file__).resolve().parent.parent
DAY = date(2026, 1, 5)
SETTINGS = """
[source]
settle_seconds = 0
[quality]
max_quarantine = 1.0
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder to watch, with one file in it."""
    (tmp_path / "eventmint.toml").write_text(SETTINGS, encoding="utf-8")
    deliver(tmp_path, "first", 3)
    return tmp_path


def deliver(shop: Path, name: str, count: int) -> None:
    events = [event(DAY, "page_view", n, product=name, category="c") for n in range(count)]
    write_events(shop / "arriving" / name, events)
    (shop / "data").mkdir(exist_ok=True)
    (shop / "arriving" / name).rename(shop / "data" / name)


@contextmanager
def watching(shop: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "eventmint.cli", "watch", "--every", "1s", *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command, cwd=shop, env=environment, **pipes)
    try:
        yield running
    finally:
        running.kill()
        with suppress(ValueError):  # read already
            running.communicate()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert what()


def events_in(shop: Path) -> int:
    with suppress(Exception):  # no lake yet, or its file is being replaced
        return lake_of(shop).totals().events
    return 0


def lake_of(shop: Path) -> Lake:
    from eventmint.lake import open_lake

    return open_lake(shop / "eventmint.toml")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_arrives_is_taken_in_until_it_is_told_to_stop(shop: Path, sign: signal.Signals) -> None:
    with watching(shop, "--json") as running:
        wait_for(lambda: events_in(shop) == 3)
        deliver(shop, "second", 4)
        wait_for(lambda: events_in(shop) == 7)
        running.send_signal(sign)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0
    reports = [json.loads(line) for line in out.splitlines()]
    assert [report["totals"]["events"] for report in reports] == [3, 4]
    assert err == ""


def test_while_another_run_is_at_work_it_waits_for_its_turn(shop: Path) -> None:
    other = ExitStack()
    other.enter_context(lock(str(shop / "lake")))
    with watching(shop) as running:
        assert running.stderr
        said = [running.stderr.readline() for _ in range(3)]
        assert said[0].startswith("watching ")
        assert all("another run is at work on this lake" in line for line in said[1:])
        other.close()
        wait_for(lambda: events_in(shop) == 3)


def test_a_file_that_cannot_be_read_is_told_and_the_watch_goes_on(shop: Path) -> None:
    (shop / "data" / "bad.jsonl.gz").write_bytes(b"not gzip")
    with watching(shop) as running:
        assert running.stdout
        line = running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)
    assert "stopping when this run has ended; Ctrl-C again stops at once" in err.splitlines()
    assert "1 file, 3 lines: +3 events, 0 duplicates, 0 quarantined" in line
    assert "set aside: " in err
    assert running.returncode == 0


def test_what_a_run_cannot_go_on_with_ends_the_watch(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    assert cli.main(["watch", "nowhere"]) == 2
    assert cli.main(["watch", "--every", "soon"]) == 2
    assert cli.main(["watch", "--every", "0s"]) == 2
    assert cli.main(["watch", "--every", "999999d"]) == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        "error: 'soon' is no length of time. Write 90s, 30m, 2h or 7d.",
        *(
            f"error: --every {every}: a pause is longer than nothing and at most a day. Such as 5m."
            for every in ("0s", "999999d")
        ),
    ]


# ---- what runs did -----------------------------------------------------------------------------------------


def test_history_tells_the_runs_that_changed_something_newest_first(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = lake_of(shop)
    lake.run()
    lake.run()
    deliver(shop, "second", 4)
    lake.run()
    assert cli.main(["-C", str(shop), "history", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["count"] == 2
    assert [run["totals"]["events"] for run in document["runs"]] == [4, 3]
    assert all(run["laws_hold"] and "laws" not in run for run in document["runs"])
    assert cli.main(["-C", str(shop), "history", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "+4" in out
    assert "(1 of 2 runs; more with --limit)" in out


def test_the_history_of_an_empty_lake_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path / "data", [])
    (tmp_path / "data" / "events.jsonl.gz").unlink()
    lake_in(tmp_path).run()
    assert cli.main(["-C", str(tmp_path), "history"]) == 0
    assert "no run has changed anything yet" in capsys.readouterr().out


# ---- whether anything still comes in -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "complaint"),
    [
        (timedelta(minutes=15), None),
        (timedelta(minutes=-5), None),
        (timedelta(minutes=15, microseconds=1), "The newest event is of 2026-01-05 11:44:59 UTC, older than"),
    ],
)
def test_what_is_exactly_as_old_as_allowed_is_not_stale(age: timedelta, complaint: str | None) -> None:
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    found = staleness(now - age, now, timedelta(minutes=15))
    assert (found or "").startswith(complaint or "") if complaint else found is None


def test_a_stale_lake_ends_with_a_code_of_its_own_after_the_status(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake_of(shop).run()
    assert cli.main(["-C", str(shop), "status", "--fail-if-stale", "7d"]) == 5
    out, err = capsys.readouterr()
    assert "gold.user_activity" in out
    assert err.startswith(
        "error: The newest event is of 2026-01-05 02:00:02 UTC, older than 7 days, 0:00:00."
    )
    assert cli.main(["-C", str(shop), "status", "--fail-if-stale", "999999d"]) == 0
    assert cli.main(["-C", str(shop), "status", "--fail-if-stale", "old"]) == 2


def test_a_lake_without_an_event_is_stale() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    assert staleness(None, now, timedelta(days=9)) == "There is no event yet."
