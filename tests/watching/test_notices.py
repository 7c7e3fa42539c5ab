"""Who is told what after a run, by a real server, and that nobody who is told can stop a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deliveries import NOW, Shop, view
from hypothesis import given
from hypothesis import strategies as st
from shops import write_events
from watching.listener import PATH, Listener, listening
from watching.quiet_shop import HOURS, QUIET, START, views, views_until

from eventmint import cli
from eventmint.config import HAPPENINGS, NotifySettings, load_settings
from eventmint.contracts import contract
from eventmint.errors import FixSettings, LawBroken, LockHeld
from eventmint.lake import Lake, open_lake
from eventmint.storage import lock
from eventmint.tables.plan import live_files
from eventmint.watching import post
from eventmint.watching.notices import Notice, Source, document
from eventmint.watching.tell import tell

FIELDS = ["schema_version", "program", "happening", "lake", "run_id", "at", "text", "details"]
FRESH = f"{NOW - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@pytest.fixture
def shop(tmp_path: Path, listener: Listener) -> Shop:
    """A shop whose runs tell everything."""
    return Shop(tmp_path, {"notify__webhooks": [listener.url]})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "SECONDS", 0.2)
    monkeypatch.setattr(post, "PAUSE_SECONDS", 0.01)


def to(*listeners: Listener) -> NotifySettings:
    return NotifySettings(webhooks=tuple(listener.url for listener in listeners))


# ---- what is told ------------------------------------------------------------------------------------------


def test_lines_beyond_the_limit_and_files_that_cannot_be_read_are_told(
    shop: Shop, listener: Listener
) -> None:
    shop.deliver("a", view(timestamp=FRESH), b"{", b"[]")
    bad = shop.deliver_bytes("b", b"not gzip")
    report = shop.run()
    quarantine, aside = listener.documents
    assert [*quarantine] == [*aside] == FIELDS
    assert (quarantine["happening"], aside["happening"]) == ("quarantine", "set_aside")
    assert quarantine["details"] == {
        "quarantined": 2,
        "judged": 3,
        "by_reason": {"json_invalid": 1, "not_an_object": 1},
    }
    assert aside["details"] == {"files": {str(bad): "not_gzip"}}
    for told in (quarantine, aside):
        assert (told["schema_version"], told["program"]) == (1, "eventmint")
        assert (told["lake"], told["run_id"]) == (str(shop.folder / "lake"), report.run_id)
        assert datetime.fromisoformat(told["at"]) == report.started_at
        assert told["text"].endswith(f"({told['lake']})")
    assert "2 of 3 lines are quarantined (66.67%, allowed are 1.00%)" in quarantine["text"]
    path, headers, _ = listener.requests[0]
    assert path == PATH
    assert headers["Content-Type"] == "application/json"


def test_data_that_become_late_are_told_when_they_do_and_again_the_next_time(
    shop: Shop, listener: Listener
) -> None:
    def run_after(minutes: int) -> list[str]:
        listener.forget()
        shop.lake.run(shop.source, now=NOW + timedelta(minutes=minutes))
        return listener.happenings

    shop.deliver("a", view(timestamp=FRESH))
    assert run_after(0) == []
    assert run_after(54) == []
    assert run_after(56) == ["stale"]
    assert listener.documents[0]["details"] == {
        "newest_event": f"{NOW - timedelta(minutes=5)}".replace(" ", "T"),
        "allowed_minutes": 60,
    }
    assert run_after(57) == []
    shop.deliver("b", view(timestamp=f"{NOW + timedelta(minutes=57):%Y-%m-%dT%H:%M:%SZ}"))
    assert run_after(58) == []
    assert run_after(200) == ["stale"]


def test_a_run_that_fails_is_told_until_one_succeeds(shop: Shop, listener: Listener) -> None:
    shop.deliver("a", view(timestamp=FRESH))
    shop.run()
    with lock(str(shop.folder / "lake")), pytest.raises(LockHeld):
        shop.run()  # its turn comes: that is no failure
    assert listener.requests == []
    for _ in range(2):
        with pytest.raises(FixSettings):
            shop.lake.run(shop.folder / "nowhere", now=NOW)
    (told,) = listener.documents
    assert told["happening"] == "run_failed"
    assert told["details"]["kind"] == "FixSettings"
    assert told["details"]["exit_code"] == 2
    assert "no such source" in told["text"]
    shop.run()
    with pytest.raises(FixSettings):
        shop.lake.run(shop.folder / "nowhere", now=NOW)
    assert listener.happenings == ["run_failed", "run_failed"]


def test_a_broken_law_is_told_with_table_and_day_but_not_at_every_run(shop: Shop, listener: Listener) -> None:
    shop.deliver("a", view(timestamp=FRESH))
    shop.run()
    forge_the_books(shop.lake)
    shop.deliver("b", view(timestamp=FRESH, user_id="u-2"))
    for _ in range(2):
        with pytest.raises(LawBroken):
            shop.run()
    (told,) = listener.documents
    assert told["happening"] == "law_broken"
    assert f"{NOW:%Y-%m-%d}" in told["text"]
    assert told["details"]["kind"] == "LawBroken"


def forge_the_books(lake: Lake) -> None:
    """Add two events to the books of silver, behind Iceberg's back."""
    shape = contract("silver.event_hours")
    (file,) = live_files(lake._catalog.load(shape), shape)
    rows = pq.read_table(file.location, partitioning=None)
    more = rows.set_column(
        rows.schema.get_field_index("events"),
        rows.schema.field("events"),
        [[count + 2 for count in rows["events"].to_pylist()]],
    )
    pq.write_table(more, file.location, store_schema=False)


def test_an_hour_unlike_the_weeks_before_is_told_once_when_it_is_complete(
    tmp_path: Path, listener: Listener
) -> None:
    lake = open_lake(
        source__path=str(tmp_path / "data"),
        source__settle_seconds=0,
        lake__root=str(tmp_path / "lake"),
        lake__database="",
        notify__webhooks=[listener.url],
        notify__on=["anomaly"],
    )
    write_events(tmp_path / "data" / "first", views_until(QUIET + 2))
    lake.run()
    assert listener.requests == []  # late events may still come for it
    for hour in (QUIET + 2, QUIET + 3, HOURS):
        write_events(tmp_path / "data" / str(hour), views(hour))
        lake.run()
        lake.run()
    told = [document for document in listener.documents if "18:00 UTC" in document["text"]]
    assert [document["happening"] for document in told] == ["anomaly"]
    assert (
        told[0]["details"]["hour"] == f"{START + timedelta(hours=QUIET, minutes=-30):%Y-%m-%dT%H:%M:%S+00:00}"
    )
    assert told[0]["details"]["deviations"][0]["figure"] == "events"


def test_what_lasts_is_told_when_it_begins_and_again_when_it_comes_back(
    tmp_path: Path, listener: Listener
) -> None:
    def told(*happenings: str, is_over: bool = True) -> list[str]:
        listener.forget()
        notices = [Notice(name, name, lasting=name if name != "quarantine" else "") for name in happenings]
        tell(notices, to(listener), Source(str(tmp_path), "r", NOW), is_over=is_over)
        return listener.happenings

    assert told("stale", "quarantine") == ["stale", "quarantine"]
    assert told("stale", "quarantine") == ["quarantine"]
    # A run that failed does not know whether data still are late.
    assert told("run_failed", is_over=False) == ["run_failed"]
    assert told("stale") == []
    assert told() == []
    assert told("stale") == ["stale"]


def test_only_what_is_wanted_is_told(tmp_path: Path, listener: Listener) -> None:
    settings = NotifySettings(webhooks=(listener.url,), on=("anomaly", "stale"))
    tell([Notice(name, name) for name in HAPPENINGS], settings, Source(str(tmp_path), "r", NOW))
    assert listener.happenings == ["anomaly", "stale"]


@given(
    happening=st.sampled_from(HAPPENINGS),
    message=st.text(),
    details=st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.floats(allow_nan=False)),
)
def test_whatever_is_told_has_the_same_fields(happening: str, message: str, details: dict[str, Any]) -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    made = document(Notice(happening, message, details), Source("s3://a/lake", "r", at))
    assert [*made] == FIELDS
    assert message in made["text"]
    assert json.loads(json.dumps(made)) == made


# ---- who does not take it ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answers", "requests", "said"),
    [
        ([500, 200], 2, None),
        ([429, 204], 2, None),
        ([503], 2, "answered 503"),
        ([404], 1, "answered 404"),
        ([302], 1, "answered 302"),  # a redirected POST would be a GET
        ([0], 2, "TimeoutError"),
    ],
)
def test_who_does_not_take_it_is_tried_once_more_where_that_may_help(
    tmp_path: Path,
    listener: Listener,
    caplog: pytest.LogCaptureFixture,
    answers: list[int],
    requests: int,
    said: str | None,
) -> None:
    listener.answers = answers
    tell([Notice("anomaly", "Odd.")], to(listener), Source(str(tmp_path), "r", NOW))
    assert len(listener.requests) == requests
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ([f"a notice (anomaly) was not taken by {listener.address}: {said}"] if said else [])


@pytest.mark.usefixtures("impatient")
def test_what_lasts_and_nobody_took_is_told_by_the_next_run(tmp_path: Path, listener: Listener) -> None:
    listener.answers = [500, 500, 200]
    for _ in range(3):
        tell([Notice("stale", "Old.", lasting="stale")], to(listener), Source(str(tmp_path), "r", NOW))
    assert len(listener.requests) == 3


@pytest.mark.usefixtures("impatient")
def test_one_who_is_gone_keeps_nobody_else_from_being_told(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as gone:
        pass
    tell([Notice("anomaly", "Odd.")], to(gone, listener), Source(str(tmp_path), "r", NOW))
    assert listener.happenings == ["anomaly"]
    assert f"not taken by {gone.address}: " in caplog.text
    assert "refused" in caplog.text


def test_a_note_of_what_was_told_that_cannot_be_read_tells_again(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("{", '{"a": 1}', "7", "[[1]]", "\x00"):
        (tmp_path / ".told.json").write_text(text)
        listener.forget()
        tell([Notice("stale", "Old.", lasting="stale")], to(listener), Source(str(tmp_path), "r", NOW))
        assert listener.happenings == ["stale"], text
        assert json.loads((tmp_path / ".told.json").read_text()) == ["stale"]
    assert "what was told before cannot be read" in caplog.text


# ---- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_an_address_is_never_shown_but_for_its_host(
    shop: Shop, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop.folder / "eventmint.toml").write_text(
        f'[source]\npath = "source"\n[notify]\nwebhooks = ["{listener.url}"]\n', encoding="utf-8"
    )
    shop.deliver("a", view(timestamp="2025-01-01T00:00:00Z"), b"{")
    listener.answers = [500]
    said = []
    for command in (
        ("-v", "run"),
        ("run", "--log-format", "json"),
        ("doctor",),
        ("doctor", "--json"),
    ):
        cli.main(["-C", str(shop.folder), *command])
        said.append("".join(capsys.readouterr()))
    assert listener.address in "".join(said)
    assert not any("s3cr3t" in text for text in said)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/s3cr3t",
        "file:///etc/s3cr3t",
        "https://",
        "https:///s3cr3t",
        "http://user:s3cr3t@host/",
        "http://[s3cr3t",
        "http://host:s3cr3t/",
        "http://host/s3cr3t space",
        "http://host/s3cr3t\r\nX: y",
        "http://höst/s3cr3t",
        "s3cr3t",
    ],
)
def test_what_is_no_web_address_is_refused_without_being_shown(address: str) -> None:
    for value in ([address], [address, 5]):
        with pytest.raises(FixSettings) as error:
            load_settings(flags={"notify.webhooks": value})
        assert "`notify.webhooks`" in error.value.message
        assert "s3cr3t" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("webhooks", ("https://hooks.slack.com/services/T0/B0/x", "http://10.0.0.1:8080/x?y=z")),
        ("sns_topic", "arn:aws:sns:us-west-2:123456789012:shop-alerts"),
        ("on", ("stale",)),
        ("on", ()),
    ],
)
def test_what_may_stand_in_the_settings(key: str, value: str | tuple[str, ...]) -> None:
    given = list(value) if isinstance(value, tuple) else value
    assert getattr(load_settings(flags={f"notify.{key}": given}).notify, key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sns_topic", "arn:aws:sns:us-west-2:123456789012:shop.fifo"),
        ("sns_topic", "arn:aws:sqs:us-west-2:123456789012:shop"),
        ("sns_topic", "shop"),
        ("on", ["everything"]),
    ],
)
def test_what_may_not_stand_in_the_settings(key: str, value: str | list[str]) -> None:
    with pytest.raises(FixSettings, match=f"`notify.{key}` m"):
        load_settings(flags={f"notify.{key}": value})


def test_where_there_is_nobody_to_tell_nothing_is_noted(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    with pytest.raises(FixSettings):
        shop.lake.run(tmp_path / "nowhere", now=NOW)
    assert [*tmp_path.iterdir()] == []
