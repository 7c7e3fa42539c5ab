"""stderr as lines of JSON: each line an object, whatever is said, and all of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from deliveries import Shop, event, view
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventmint import cli
from eventmint.run_log import JsonLines, fields, run_named
from eventmint.serve.streams import talks_json

Said = Callable[..., tuple[int, str, list[dict[str, Any]]]]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with three files: lines to set aside, a file that cannot be read, and a name of two lines."""
    (tmp_path / "eventmint.toml").write_text(
        '[source]\npath = "source"\nsettle_seconds = 0\n[run]\nworkers = 1\n', encoding="utf-8"
    )
    shop = Shop(tmp_path)
    shop.deliver("a", view(), event(), b"{")
    shop.deliver("two\nlines\x1b[31m", view(user_id="u2"))
    shop.deliver_bytes("broken", b"not gzip")
    return shop


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], shop: Shop) -> Said:
    """Run a command in the shop; return its code, its stdout and the objects on its stderr."""

    def run(*args: str) -> tuple[int, str, list[dict[str, Any]]]:
        code = cli.main(["-C", str(shop.folder), *args])
        out, err = capsys.readouterr()
        return code, out, [json.loads(line) for line in err.splitlines()]

    return run


def test_every_line_of_a_run_is_an_object_and_stdout_stays_what_it_is(shop: Shop, said: Said) -> None:
    code, out, lines = said("run", "--json", "--log-format", "json")
    assert code == 3
    report = json.loads(out)
    for line in lines:
        assert [*line][:4] == ["time", "level", "logger", "message"]
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
    stages = {line["stage"]: line for line in lines if "stage" in line}
    assert [*stages] == ["bronze", "silver", "gold"]
    assert (stages["bronze"]["lines"], stages["bronze"]["level"]) == (4, "info")
    (ended,) = [line for line in lines if line["message"].startswith("run ended")]
    assert (ended["lines"], ended["events"], ended["quarantined"]) == (4, 3, 1)
    assert report["run_id"].startswith(f"{ended['run_id']}-")
    assert {line["run_id"] for line in stages.values()} == {ended["run_id"]}
    assert any(line["message"].startswith("set aside: ") for line in lines)
    error = lines[-1]
    assert (error["level"], error["message"]) == ("error", error["error"]["message"])
    assert error["error"]["exit_code"] == 3
    assert error["error"]["hint"].endswith("see `eventmint quarantine`.")

    assert [line["message"] for line in said("run", "--log-format=json")[2]] == ["run ended: nothing new"]
    assert said("-q", "run", "--log-format", "json")[2] == []
    (shop.source / "events").rename(shop.source / "gone")
    shop.source.rename(shop.folder / "moved")
    assert [line["level"] for line in said("-q", "run", "--log-format", "json")[2]] == ["error"]


@pytest.mark.parametrize(
    "args",
    [
        ["--log-format", "json", "rnu"],
        ["run", "--log-format", "json", "--nonsense"],
        ["run", "--nonsense", "--log-format=json"],
        ["--log-format", "text", "--log-format", "json", "rnu"],
    ],
)
def test_also_what_is_wrong_with_the_command_line_is_an_object(args: list[str], said: Said) -> None:
    code, out, (line,) = said(*args)
    assert (code, out) == (2, "")
    assert (line["error"]["kind"], line["error"]["exit_code"]) == ("FixSettings", 2)


def test_the_environment_may_ask_for_it(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTMINT_LOG_FORMAT", "json")
    _, _, (line,) = said("rnu")
    assert line["level"] == "error"
    monkeypatch.setenv("EVENTMINT_LOG_FORMAT", "yaml")
    assert cli.main(["status"]) == 2


def test_the_command_line_beats_the_environment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENTMINT_LOG_FORMAT", "json")
    assert cli.main(["-C", str(shop.folder), "--log-format", "text", "rnu"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_verbose_adds_where_an_error_comes_from_to_its_object(said: Said) -> None:
    _, _, lines = said("-v", "--log-format", "json", "status", "--target", "local")
    assert "Traceback" in lines[-1]["traceback"]
    assert all("time" in line for line in lines)


def test_afterwards_stderr_is_text_again(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger("eventmint").level
    said("rnu", "--log-format", "json")
    assert not talks_json()
    assert logging.getLogger("eventmint").level == level
    cli.main(["rnu"])
    assert capsys.readouterr().err.startswith("error: ")


@settings(max_examples=50)
@example(message="\x7f\x1b[31m\r\n\u2028", name="", value=None)
@given(
    message=st.text(),
    name=st.text(),
    value=st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_whatever_is_said_is_one_line_of_plain_ascii(message: str, name: str, value: object) -> None:
    record = logging.LogRecord("eventmint", logging.INFO, "", 0, "%s", (message,), None)
    record.__dict__.update(fields(value=value))
    with run_named(name):
        line = JsonLines().format(record)
    assert line.isascii()
    assert line.isprintable()
    parsed = json.loads(line)
    assert (parsed["message"], parsed["value"]) == (message, value)
    assert parsed.get("run_id", "") == name


def test_a_field_that_json_does_not_know_is_told_as_text() -> None:
    record = logging.LogRecord("eventmint", logging.INFO, "", 0, "a", None, None)
    record.__dict__.update(fields(place=Path("/a")))
    assert json.loads(JsonLines().format(record))["place"] == "/a"
