"""`eventmint quarantine replay` and `export`: what they say, what they ask, what they write, how they end."""

from __future__ import annotations

import errno
import gzip
import json
import os
from datetime import timedelta
from pathlib import Path

import oracle
import pytest
from asking import Ask, Terminal, asking
from deliveries import NOW, Shop, event, state_of, text_of

from eventmint.cli import main

WIDER = [*oracle.EVENT_TYPES, "refund"]
REFUND = event(event_type="refund")
LONG = b"no event " + b"x" * 5_000
BAD = (b"\xff\xfe not UTF-8 \x80", b"{\r", b"\x00\x1b[31m", b"[1,2]", b'{"user_id": "\xc3"}')


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("home") / "shop", {"contract__max_line_bytes": 4_500})
    shop.deliver("b", *BAD[:2], event(), REFUND, LONG)
    shop.deliver("a", event(user_id="u2"), *BAD[2:], REFUND)
    shop.run()
    (shop.folder / "eventmint.toml").write_text(
        f'[lake]\nroot = "lake"\n[contract]\nevent_types = {json.dumps(WIDER)}\n[run]\nworkers = 1\n'
    )
    return shop.keep()


@pytest.fixture
def shop(built: Shop) -> Shop:
    return built.put_back()


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asking(shop, capsys)


# --- replay ----------------------------------------------------------------------------------------------


def test_a_dry_run_tells_the_plan_and_changes_nothing(shop: Shop, ask: Ask) -> None:
    before = state_of(shop.folder)
    code, out, err = ask("quarantine", "replay", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [
        "this would be done:",
        "7 lines judged again: 2 pass, 0 fail for other reasons now, 5 as before",
    ]
    assert ["event_type_unknown", "2", "2"] in [line.split() for line in out.splitlines()]
    assert out.splitlines()[-3:] == [
        "1 line cannot be judged again: only the first bytes were kept",
        "files    2",
        "days     2025-06-15",
    ]
    assert state_of(shop.folder) == before


def test_where_nobody_can_be_asked_it_ends_with_2_and_says_what_to_add(shop: Shop, ask: Ask) -> None:
    before = state_of(shop.folder)
    for flags in ([], ["--json"], ["-q"]):
        code, out, err = ask("quarantine", "replay", *flags)
        assert (code, out) == (2, ""), flags
        assert "Nothing was changed: nobody can be asked." in err
        assert "Give --yes, or look with --dry-run." in err
    assert state_of(shop.folder) == before


def test_who_says_no_is_heard_and_who_says_yes_too(
    shop: Shop, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    before = state_of(shop.folder)
    code, out, err = ask("quarantine", "replay")
    assert (code, out) == (0, "")
    assert "2 pass" in err
    assert err.endswith("nothing was changed\n")
    assert state_of(shop.folder) == before
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    code, out, _ = ask("quarantine", "replay")
    assert (code, out.splitlines()[0]) == (
        0,
        "7 lines judged again: 2 pass, 0 fail for other reasons now, 5 as before",
    )
    assert shop.lake.totals().quarantined == 6


def test_json_is_one_document_and_twice_changes_nothing(shop: Shop, ask: Ask) -> None:
    code, out, err = ask("quarantine", "replay", "--yes", "--json", "--reason", "event_type_unknown")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert {name: document[name] for name in ("judged", "passed", "cut", "changed", "dry_run", "days")} == {
        "judged": 2,
        "passed": 2,
        "cut": 0,
        "changed": True,
        "dry_run": False,
        "days": ["2025-06-15"],
    }
    before = state_of(shop.folder)
    code, out, err = ask("quarantine", "replay")  # there is nothing to be asked
    assert (code, err) == (0, "")
    assert out.startswith("5 lines judged again: 0 pass")
    assert state_of(shop.folder) == before


def test_history_shows_a_replay_as_what_it_is(ask: Ask) -> None:
    ask("quarantine", "replay", "--yes")
    _, out, _ = ask("history")
    newest = out.splitlines()[1].split()
    # Two lines are one event, delivered twice: files, lines, new events, quarantined.
    assert newest[-6:-2] == ["replay", "0", "+1", "-2"]
    assert ask("files", "--status", "replayed")[1].splitlines()[-1] == "2 files"
    assert "replayed" not in ask("status")[1]


def test_a_reason_that_no_line_has_is_told_with_one_that_is_near(ask: Ask) -> None:
    code, out, err = ask("quarantine", "replay", "--yes", "--reason", "event_type_unknwn")
    assert code == 0
    assert out.startswith("0 lines judged again")
    assert "no line has the reason event_type_unknwn. Did you mean event_type_unknown?" in err


def test_flags_of_the_listing_are_refused_before_another_command(ask: Ask) -> None:
    for flags in (["--reason", "json_invalid"], ["--limit", "20"]):
        code, out, err = ask("quarantine", *flags, "replay", "--yes")
        assert (code, out) == (2, "")
        assert f"{flags[0]} belongs behind replay, if anywhere." in err


def test_a_damaged_file_is_told(shop: Shop, ask: Ask) -> None:
    damaged = max((shop.folder / "lake" / "bronze" / "events" / "data").rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"x" * 9)
    code, _, err = ask("quarantine", "replay", "--dry-run")
    assert code == 0
    assert f"damaged, left alone: {damaged}; see `eventmint verify --deep`" in err


# --- export ----------------------------------------------------------------------------------------------


def exported(path: Path) -> list[bytes]:
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return content.split(b"\n")[:-1]


IN_ORDER = [*BAD[2:], json.dumps(REFUND).encode(), *BAD[:2], json.dumps(REFUND).encode()]


def test_lines_come_out_byte_for_byte_in_order_of_file_and_line(ask: Ask, tmp_path: Path) -> None:
    code, out, err = ask("quarantine", "export", tmp_path / "bad.jsonl")
    assert (code, out) == (0, f"7 lines in {tmp_path / 'bad.jsonl'}\n")
    assert err == "left out: 1 line that was too long to be kept; first bytes with --with-cut\n"
    assert exported(tmp_path / "bad.jsonl") == IN_ORDER
    ask("quarantine", "export", tmp_path / "utf8.jsonl", "--reason", "not_utf8", "-q")
    assert exported(tmp_path / "utf8.jsonl") == [BAD[4], BAD[0]]
    code, out, err = ask("quarantine", "export", tmp_path / "cut.jsonl", "--with-cut", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["lines"] == 8
    assert exported(tmp_path / "cut.jsonl") == [*IN_ORDER, LONG[:4_096]]


def test_what_was_exported_and_delivered_again_is_the_same_quarantine(
    shop: Shop, ask: Ask, tmp_path: Path
) -> None:
    ask("quarantine", "export", tmp_path / "bad.jsonl.gz")
    again = Shop(tmp_path / "again")
    again.deliver_bytes("bad", (tmp_path / "bad.jsonl.gz").read_bytes())
    again.run()
    assert [line["raw"] for line in again.lake.quarantine()] == IN_ORDER
    kept = [line for line in shop.lake.quarantine() if line["problem"] != "line_too_long"]
    assert [line["problem"] for line in again.lake.quarantine()] == [line["problem"] for line in kept]


def test_the_same_lines_make_the_same_file(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    ask("quarantine", "export", tmp_path / "one.gz")
    shop.lake.maintain(now=NOW + timedelta(days=9))
    ask("quarantine", "export", tmp_path / "other.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "other.gz").read_bytes()
    assert (tmp_path / "one.gz").read_bytes()[4:8] == bytes(4)  # no time
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()) == b"".join(line + b"\n" for line in IN_ORDER)


def test_a_file_is_written_whole_or_stays_as_it_was(
    shop: Shop, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bad.jsonl.gz"
    file.write_bytes(b"of before")

    def fails(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(gzip.GzipFile, "write", fails)
        code, out, err = ask("quarantine", "export", file)
    assert (code, out) == (2, "")
    assert err == f"error: {file}: cannot be written: No space left on device. Name another file.\n"
    assert file.read_bytes() == b"of before"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    code, _, err = ask("quarantine", "export", shop.folder)
    assert code == 2
    assert "cannot be written: Is a directory" in err


def test_an_empty_quarantine_makes_an_empty_file(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    shop.deliver_text("a", text_of(event()))
    shop.run()
    made = shop.lake.export_quarantine(tmp_path / "none.jsonl")
    assert (made.lines, made.cut, exported(tmp_path / "none.jsonl")) == (0, 0, [])


def test_without_a_lake_both_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "eventmint.toml"
    config.write_text("")
    for command in (["replay", "--yes"], ["export", str(tmp_path / "x")]):
        assert main(["--config", str(config), "quarantine", *command]) == 1
        assert "there is no lake here yet. Run `eventmint run SOURCE` first." in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
