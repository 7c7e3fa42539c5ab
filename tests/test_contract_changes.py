"""Contracts change: what breaks is told before, and a lake of before takes new nullable columns in place."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from deliveries import event, gzipped, text_of
from warm_cli import warm_eventmint

from eventmint.cli import main
from eventmint.config import Settings
from eventmint.contract_changes import changes, contract_document

NOW = contract_document(Settings())
Path_ = tuple[str, ...]
ACTIVITY, EVENTS = ("tables", "gold.user_activity"), ("events",)
COLUMN = (*ACTIVITY, "columns", "events")
GONE = object()


def changed(path: Path_, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(NOW)
    *before, last = path
    place = document
    for name in before:
        place = place[name]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return document


BREAKING: list[tuple[Path_, Any, str, str]] = [
    (ACTIVITY, GONE, "gold.user_activity", "the table is gone"),
    (
        (*ACTIVITY, "grain"),
        "one row per UTC week",
        "gold.user_activity",
        "one row per UTC day, now one row per",
    ),
    (COLUMN, GONE, "gold.user_activity.events", "the column is gone"),
    ((*COLUMN, "type"), "int", "gold.user_activity.events", "long, now int"),
    ((*COLUMN, "id"), 9, "gold.user_activity.events", "field id 4, now 9"),
    ((*COLUMN, "required"), False, "gold.user_activity.events", "may be NULL"),
    (
        (*ACTIVITY, "columns", "new"),
        {"id": 5, "type": "int", "required": True},
        "gold.user_activity.new",
        "a new required column of type int",
    ),
    ((*EVENTS, "event_types"), ["page_view"], "events.event_type", "add_to_cart is unknown"),
    ((*EVENTS, "optional"), ["user_id"], "events.user_id", "may be missing"),
    ((*EVENTS, "max_line_bytes"), 99, "events.max_line_bytes", "1,048,576, now 99"),
    ((*EVENTS, "dedup"), ["user_id"], "events.dedup", "content, now user_id"),
    ((*EVENTS, "format"), "ga4", "events.format", "events, now ga4"),
    ((*EVENTS, "mapping"), {"nothing": [""]}, "events.mapping", "events is read in another way"),
]
HARMLESS: list[tuple[Path_, Any, str, str]] = [
    (("tables", "gold.new"), {"grain": "", "columns": {}}, "gold.new", "a new table"),
    (
        (*ACTIVITY, "columns", "new"),
        {"id": 5, "type": "int", "required": False},
        "gold.user_activity.new",
        "a new nullable column of type int",
    ),
    (
        (*EVENTS, "event_types"),
        [*NOW["events"]["event_types"], "refund"],
        "events.event_type",
        "refund is known",
    ),
    ((*EVENTS, "max_line_bytes"), 1 << 21, "events.max_line_bytes", "1,048,576, now 2,097,152"),
]


@pytest.mark.parametrize(("path", "value", "subject", "text"), BREAKING)
def test_what_breaks_a_reader_or_a_shop_is_called_breaking(
    path: Path_, value: Any, subject: str, text: str
) -> None:
    change = changes(NOW, changed(path, value))[0]
    assert (change.subject, bool(change.breaks)) == (subject, True)
    assert change.text.startswith(text)


@pytest.mark.parametrize(("path", "value", "subject", "text"), HARMLESS)
def test_what_only_adds_is_not_breaking_and_taking_it_back_is(
    path: Path_, value: Any, subject: str, text: str
) -> None:
    new = changed(path, value)
    [change] = changes(NOW, new)
    assert (change.subject, change.text, change.breaks) == (subject, text, "")
    [back] = changes(new, NOW)
    assert back.breaks


def test_a_field_that_must_be_there_again_breaks_the_shop() -> None:
    [change] = changes(changed((*EVENTS, "optional"), ["user_id"]), NOW)
    assert (change.text, bool(change.breaks)) == ("is required", True)


def test_a_contract_is_equal_to_itself_however_it_was_saved() -> None:
    assert changes(NOW, json.loads(json.dumps(NOW))) == []


def test_a_contract_that_was_saved_before_there_were_formats_is_one_of_events() -> None:
    before = changed((*EVENTS, "format"), GONE)
    del before["events"]["mapping"]
    assert changes(before, NOW) == []
    assert [change.subject for change in changes(before, changed((*EVENTS, "format"), "ga4"))] == [
        "events.format"
    ]


# ---- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["-C", str(tmp_path), "--json", "contract", "show"]) == 0
    file = tmp_path / "contract.json"
    file.write_text(capsys.readouterr().out)
    return file


def test_a_breaking_change_of_the_configuration_ends_with_code_6(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diff = ["-C", str(tmp_path), "contract", "diff", str(saved)]
    assert main(diff) == 0
    assert "nothing is different" in capsys.readouterr().out
    (tmp_path / "eventmint.toml").write_text('[contract]\nevent_types = ["page_view", "refund"]\n')
    assert main(diff) == 6
    said = capsys.readouterr()
    assert "BREAKS  events.event_type" in said.out
    assert "5 differences, of which 4 break something" in said.out
    assert "events.event_type: add_to_cart is unknown" in said.err
    assert main(["--json", *diff]) == 6
    document = json.loads(capsys.readouterr().out)
    assert (document["breaking"], len(document["changes"])) == (4, 5)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "events": {}, "tables": []}', "\x00"]
)
def test_a_file_that_holds_no_contract_is_told_in_one_line(
    text: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = saved.with_name("other.json")
    other.write_text(text)
    for files in ((other, saved), (saved, other)):
        assert main(["contract", "diff", *map(str, files)]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert str(other) in line
        assert "contract show" in line


# ---- a newer version on the lake of an older one -----------------------------------------------------------

NEW_COLUMN = """
[columns.version]
id = 5
type = "int"
doc = "what the new version adds"
"""


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[Path]:
    """The folder of an `eventmint` of a version that has one column more."""
    package = tmp_path / "package"
    shutil.copytree(REPOSITORY / "src", package, ignore=shutil.ignore_patterns("__pycache__"))
    model = package / "eventmint" / "gold" / "models" / "user_activity"
    (model / "contract.toml").write_text((model / "contract.toml").read_text() + NEW_COLUMN)
    sql = (model / "model.sql").read_text()
    (model / "model.sql").write_text(sql.replace("BIGINT) AS events\n", "BIGINT) AS events, 2 AS version\n"))
    # The address of the server lies in this folder, and may not be long.
    with tempfile.TemporaryDirectory() as place, warm_eventmint(Path(place), package) as quick:
        yield quick


def start(version: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(version / "eventmint"), "-C", str(home), "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def run(version: Path, home: Path, *arguments: str) -> dict[str, Any]:
    ended = start(version, home, *arguments)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def activity(version: Path, home: Path) -> list[dict[str, Any]]:
    return list(run(version, home, "show", "user_activity")["answers"]["user_activity"])


def test_a_new_nullable_column_comes_to_a_lake_of_before_in_place(
    newer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    data = home / "data"
    data.mkdir(parents=True)
    (data / "a.jsonl.gz").write_bytes(gzipped(text_of(event(timestamp="2025-06-14T09:00:00Z"))))
    (home / "eventmint.toml").write_text("[source]\nsettle_seconds = 0\n[run]\nworkers = 1\n")
    assert main(["-C", str(home), "run"]) == 0, capsys.readouterr().err

    assert run(newer, home, "status")["layers"]  # the tables can be read as they are
    told = start(newer, home, "show")  # what was published cannot, and nobody calls that a bug
    assert (told.returncode, "Run `eventmint run` to rebuild it." in told.stderr) == (1, True)
    assert not run(newer, home, "run")["changed"]
    assert [row["version"] for row in activity(newer, home)] == [None]
    (data / "b.jsonl.gz").write_bytes(gzipped(text_of(event(timestamp="2025-06-15T09:00:00Z"))))
    assert run(newer, home, "run")["laws_hold"]
    found = [(row["event_date"], row["version"]) for row in activity(newer, home)]
    assert found == [("2025-06-14", None), ("2025-06-15", 2)]
    assert run(newer, home, "verify")["laws_hold"]
    assert not run(newer, home, "run")["changed"]
    states = snapshots(home)
    assert [columns for columns, _ in states] == [4] * (len(states) - 1) + [5]
    assert [rows for _, rows in states][-2:] == [1, 2]
    assert start(newer, home, "verify", "--deep").returncode == 1  # the day of before has NULL there
    assert run(newer, home, "restate", "--to", "2025-06-15", "--yes")["days"] == ["2025-06-14"]
    assert [row["version"] for row in activity(newer, home)] == [2, 2]
    assert run(newer, home, "verify", "--deep")["laws_hold"]


def snapshots(home: Path) -> list[tuple[int, int]]:
    """Columns and rows of gold.user_activity in each of its states, as PyIceberg reads them."""
    from eventmint.contracts import contract
    from eventmint.tables.catalog import LakeCatalog

    catalog = LakeCatalog(home / "lake")._open()
    table = catalog.load_table((contract("gold.user_activity").schema, "user_activity"))
    states = [table.scan(snapshot_id=one.snapshot_id).to_arrow() for one in table.snapshots()]
    return [(state.num_columns, state.num_rows) for state in states]
