# ruff: noqa: S608 - payloads are quoted as a careful analyst quotes them
"""Text is text: what a shopper, a file name, a flag or a setting says is kept, told, and never obeyed.

Each payload goes through each place where text enters. It must come out as it went in (silver, gold, answers,
JSON, CSV), or be refused with one clear line; nothing beside the lake may change or appear, and no control
character of it may reach a terminal.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deliveries import NOW, TODAY, Shop, event, view
from proofs.forms import Proof
from proofs.payloads import PAYLOADS, TERMINAL, in_arguments, in_file_names

import eventmint
from eventmint.cli import main
from eventmint.config import SECTIONS, known_keys, load_settings
from eventmint.contracts import ANSWERS
from eventmint.errors import FixSettings

FIELDS = ("user_id", "session_id", "product_id", "category", "search_query")
BESIDE = ["analytics.duckdb", "canary", "lake", "source"]
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Told:
    """What a call of the command line ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Ask = Callable[..., Told]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop with a canary beside it, which must be alive afterwards, and nothing new around it."""
    made = Shop(tmp_path / "home")
    canary = made.folder / "canary" / "canary.txt"
    canary.parent.mkdir(parents=True)
    canary.write_text("alive")
    yield made
    assert canary.read_text() == "alive"
    assert [path.name for path in canary.parent.iterdir()] == ["canary.txt"]
    assert sorted(path.name for path in made.folder.iterdir() if path.name != "eventmint.toml") == BESIDE
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    layers = sorted(path.name for path in (made.folder / "lake").iterdir())
    assert layers == [".lock", "bronze", "catalog.sqlite", "gold", "ops", "silver"]


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Call the command line in this process, in the shop's folder."""
    monkeypatch.chdir(shop.folder)

    def call(*arguments: str, cwd: Path | None = None) -> Told:
        with monkeypatch.context() as patch:
            patch.chdir(cwd or shop.folder)
            patch.setenv("EVENTMINT_SOURCE__SETTLE_SECONDS", "0")
            capsys.readouterr()
            code = main(arguments)
            out, err = capsys.readouterr()
        return Told(code, out, err)

    return call


def assert_is_safe_to_print(text: str) -> None:
    """A screen consists of lines of printable characters, whatever the data holds."""
    bad = sorted({char for line in text.split("\n") for char in line if not char.isprintable()})
    assert bad == [], bad


def assert_is_one_error(told: Told, about: str) -> None:
    assert told.code == 2, (about, told)
    assert told.out == "", about
    assert told.err.startswith("error: "), about
    assert told.err.count("\n") == 1, (about, told.err)
    assert_is_safe_to_print(told.err)


def sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- Fields of events -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
def test_text_in_a_field_is_kept_and_told_as_it_is(field: str, shop: Shop, ask: Ask, proof: Proof) -> None:
    events = [
        view(timestamp=f"2025-06-15T10:{n // 60:02d}:{n % 60:02d}Z", **{field: text})
        for n, text in enumerate(PAYLOADS)
    ]
    shop.deliver("first", *events[::2])
    shop.deliver("second", *events[1::2], events[0])
    report = shop.run()
    assert (report.totals.valid, report.totals.events) == (len(events) + 1, len(events))

    asked = f"SELECT {field} FROM silver.events_cleaned ORDER BY event_time"
    lake = shop.lake
    assert lake.sql(asked)[field].to_pylist() == list(PAYLOADS)
    found = ask("query", asked, "--json").document["rows"]
    assert [row[field] for row in found] == list(PAYLOADS)
    lines = ask("query", asked, "--format", "jsonl", "--limit", "0").out.splitlines()
    assert [json.loads(line)[field] for line in lines] == list(PAYLOADS)
    rows = [*csv.reader(io.StringIO(ask("query", asked, "--format", "csv", "--limit", "0").out, newline=""))]
    assert rows == [[field], *([f"'{text}" if text.startswith(FORMULAS) else text] for text in PAYLOADS)]

    assert lake.answer("user_activity").to_pylist() == [
        {
            "event_date": TODAY,
            "unique_users": len(PAYLOADS) if field == "user_id" else 1,
            "unique_sessions": len(PAYLOADS) if field == "session_id" else 1,
            "events": len(PAYLOADS),
        }
    ]
    if field == "product_id":
        assert set(lake.answer("conversion_funnel")["product_id"].to_pylist()) == set(PAYLOADS)
        ranked = sorted(PAYLOADS, key=lambda text: text.encode())[:10]
        assert lake.answer("top_products")["product_id"].to_pylist() == ranked
    if field == "category":
        assert set(lake.answer("category_performance")["category"].to_pylist()) == set(PAYLOADS)
    for text in proof.random(field).sample(PAYLOADS, proof.times(5, 60)):
        counted = lake.sql(f"SELECT count(*) AS n FROM silver.events_cleaned WHERE {field} = {sql(text)}")
        assert counted["n"].to_pylist() == [1], text
    for command in (("show",), *(("show", name, "--top", "999") for name in ANSWERS), ("status",)):
        assert_is_safe_to_print(ask(*command).out)
    assert_is_safe_to_print(ask("query", asked, "--limit", "0").out)
    assert all(law.holds for law in lake.verify())
    proof.tried("payloads in fields of events, told back verbatim five ways", len(PAYLOADS))


def test_text_in_a_field_with_a_grammar_is_quarantined_with_its_bytes(
    shop: Shop, ask: Ask, proof: Proof
) -> None:
    lines = [
        json.dumps(event(**{field: text})).encode()
        for text in PAYLOADS
        for field in ("event_type", "timestamp", "price", "quantity")
    ]
    lines += [text.encode() for text in TERMINAL if "\n" not in text]
    shop.deliver("bad", *lines)
    report = shop.run()
    assert (report.totals.quarantined, report.totals.valid) == (len(lines), 0)
    reasons = {"event_type_unknown", "timestamp_invalid", "price_wrong_type", "quantity_wrong_type"}
    reasons.add("json_invalid")
    assert {*report.quarantined_by_reason} - {"event_type_empty", "timestamp_empty"} == reasons
    held = shop.lake.quarantine(limit=len(lines) + 1)
    assert [row["raw"] for row in held] == lines
    for reason in report.quarantined_by_reason:
        assert_is_safe_to_print(ask("quarantine", "--reason", reason, "--limit", "9999").out)
    proof.tried("payloads in fields with a grammar, quarantined with their bytes", len(lines))


def test_text_in_unknown_fields_is_kept_as_it_is(shop: Shop, ask: Ask, proof: Proof) -> None:
    names = [text for text in PAYLOADS if text not in event()]
    for number, name in enumerate(names):
        assert name not in FIELDS, number
    events = [
        view(user_id=f"u{n:04d}", **{name: names[-n], "nested": {name: [name]}})
        for n, name in enumerate(names)
    ]
    shop.deliver("odd", *events)
    assert shop.run().totals.valid == len(names)
    extra = shop.lake.sql("SELECT extra FROM bronze.events ORDER BY user_id")["extra"].to_pylist()
    assert [json.loads(text) for text in extra] == [
        {name: names[-n], "nested": {name: [name]}} for n, name in enumerate(names)
    ]
    (entry,) = shop.lake.ledger().entries
    assert json.loads(entry.unknown_fields or "") == {**dict.fromkeys(names, 1), "nested": len(names)}
    assert ask("files", "--json").document["files"][0]["unknown_fields"].keys() == {*names, "nested"}
    assert_is_safe_to_print(ask("files").out)
    proof.tried("payloads as names and values of unknown fields, kept verbatim", 2 * len(names))


# --- Names of files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "folder"])
def test_text_in_a_name_of_the_source_is_a_name(place: str, shop: Shop, ask: Ask, proof: Proof) -> None:
    names = in_file_names()
    paths = {}
    for number, text in enumerate(names):
        name = text if place == "file" else f"{text}/{number}"
        paths[str(shop.deliver(name, view(user_id=f"u{number}")).resolve())] = f"u{number}"
    report = shop.run()
    assert (report.files_landed, report.totals.events, report.set_aside) == (len(names), len(names), {})
    # A folder may be called as a file is.
    assert {path: Path(path).name for path in report.skipped} == (
        {str(shop.source.resolve() / "events" / ".jsonl.gz"): ".jsonl.gz"} if place == "folder" else {}
    )
    found = shop.lake.sql("SELECT source_file, user_id FROM bronze.events").to_pylist()
    assert {row["source_file"]: row["user_id"] for row in found} == paths
    assert {file["path"] for file in ask("files", "--json").document["files"]} == {*paths}
    assert_is_safe_to_print(ask("files").out)
    assert not shop.run().changed
    some = [*paths][:: max(1, len(paths) // 20)]
    for path in some:
        asked = f"SELECT user_id FROM bronze.events WHERE source_file = {sql(path)}"
        assert shop.lake.sql(asked)["user_id"].to_pylist() == [paths[path]], path
    for number, path in enumerate(paths):
        Path(path).write_bytes(b"broken %d" % number)
    broken = ask("run", str(shop.source))
    assert_is_safe_to_print(broken.out + broken.err)
    assert f"{len(names)} set aside" in broken.out
    proof.tried(f"payloads as names of a {place}", len(names))


# --- Flags and filters ------------------------------------------------------------------------------------

FLAGS: dict[str, tuple[str, ...]] = {
    "show NAME": ("show",),
    "show --from": ("show", "--from"),
    "show --to": ("show", "--to"),
    "show --top": ("show", "--top"),
    "show --target": ("show", "--target"),
    "files --status": ("files", "--status"),
    "quarantine --limit": ("quarantine", "--limit"),
    "query --format": ("query", "SELECT 1", "--format"),
    "query --limit": ("query", "SELECT 1", "--limit"),
    "query --target": ("query", "SELECT 1", "--target"),
    "query -f": ("query", "-f"),
    "run SOURCE": ("run",),
    "run --engine": ("run", "--engine"),
    "run --workers": ("run", "--workers"),
    "run --max-quarantine": ("run", "--max-quarantine"),
    "run --dedup": ("run", "--dedup"),
    "-C": ("-C",),
    "--config": ("status", "--config"),
    "cost --worker-type": ("cost", "--worker-type"),
    "deploy --id": ("deploy", "--dry-run", "--id"),
}
# What is right there and not hostile: `-1` workers are refused, `..` is a folder, and so on.
MEANT = {
    "query --limit": {"0x27"},
    "-C": {"..", "../..", "~"},
    "--config": {"/dev/null"},  # a file, and empty: it says nothing
    "run SOURCE": {"..", "../..", "s3://bucket/../x", "../canary/canary.txt", "/etc/passwd", "/dev/null"},
    "run --max-quarantine": set[str](),
}


def payloads_of(proof: Proof, name: str) -> list[str]:
    texts = [text for text in in_arguments() if text not in MEANT.get(name, ()) and text != "--"]
    return proof.random(name).sample(texts, proof.times(12, len(texts)))


@pytest.fixture
def small_shop(shop: Shop) -> Shop:
    shop.deliver("first", event(), view(), b"no event")
    shop.run()
    return shop


@pytest.mark.parametrize("name", FLAGS)
def test_text_in_a_flag_is_refused_with_one_line(name: str, small_shop: Shop, ask: Ask, proof: Proof) -> None:
    texts = payloads_of(proof, name)
    for text in texts:
        before = FLAGS[name]
        last = f"{before[-1]}={text}" if before[-1].startswith("--") else None
        arguments = [*before[:-1], last] if last else [*before, text]
        if name in ("show NAME", "run SOURCE"):
            arguments = [*before, "--", text]
        if name == "-C":
            arguments += ["status"]
        if name == "--config":
            arguments = ["--config", text, "status"]
        if name == "run SOURCE" and os.path.exists(small_shop.folder / text):  # noqa: PTH110 - knows no too long
            continue  # it is one
        assert_is_one_error(ask(*arguments), f"{name} {text!r}")
    proof.tried("payloads in flags, refused with one line", len(texts))


@pytest.mark.usefixtures("small_shop")
def test_text_as_a_reason_is_a_reason_that_no_line_has(ask: Ask, proof: Proof) -> None:
    texts = [text for text in payloads_of(proof, "--reason") if not text.startswith("json_invalid")]
    for text in texts:
        told = ask("quarantine", f"--reason={text}", "--json")
        assert (told.code, told.err) == (0, ""), text
        assert (told.document["reason"], told.document["lines"]) == (text, []), text
        shown = ask("quarantine", f"--reason={text}")
        assert shown.code == 0, text
        assert_is_safe_to_print(shown.out + shown.err)
    assert len(ask("quarantine", "--reason", "json_invalid", "--json").document["lines"]) == 1
    proof.tried("payloads as a reason of quarantine, found in no line", len(texts))


def test_text_as_a_query_is_refused_or_a_harmless_answer(
    small_shop: Shop, ask: Ask, proof: Proof, tmp_path: Path
) -> None:
    assert ask("query", "SELECT 1 AS one").code == 0
    before = small_shop.lake.snapshots()
    texts = payloads_of(proof, "query")
    for text in texts:
        told = ask("query", "--", text)
        assert told.code in (0, 2), text
        assert_is_safe_to_print(told.out + told.err)
        if told.code:
            assert_is_one_error(told, text)
    for text in texts[:20]:
        file = small_shop.folder / "canary" / "statements.sql"
        file.write_bytes(f"{text}\n".encode())
        told = ask("query", "-f", str(file))
        file.unlink()
        assert told.code in (0, 2), text
        assert_is_safe_to_print(told.out + told.err)
    assert small_shop.lake.snapshots() == before
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    proof.tried("payloads as statements of `query`", len(texts) + len(texts[:20]))


def test_text_as_an_answers_name_is_refused_by_the_api(small_shop: Shop, proof: Proof) -> None:
    lake = small_shop.lake
    texts = proof.random("api").sample(PAYLOADS, proof.times(40, len(PAYLOADS)))
    for text in texts:
        with pytest.raises(FixSettings, match="no such answer"):
            lake.answer(text)
        assert lake.quarantine(text) == (lake.quarantine() if text == "" else []), text
    proof.tried("payloads as names and reasons in the API", 2 * len(texts))


def test_a_process_of_its_own_says_the_same(small_shop: Shop, proof: Proof) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    texts = proof.random("process").sample(in_arguments(), proof.times(3, 20))
    for text in texts:
        command = [sys.executable, "-m", "eventmint.cli", "quarantine", f"--reason={text}", "--json"]
        ended = subprocess.run(
            command, cwd=small_shop.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, ""), text
        assert json.loads(ended.stdout)["reason"] == text
    proof.tried("payloads given to a process of its own", len(texts))


# --- Settings ---------------------------------------------------------------------------------------------

TEXTS = [key for key, kind in known_keys().items() if kind is str]
LISTS = [key for key, kind in known_keys().items() if kind not in (str, int, float)]
NUMBERS = [key for key, kind in known_keys().items() if kind in (int, float)]


def toml(dotted: str, value: str) -> str:
    section, _, key = dotted.partition(".")
    return f"[{section}]\n{key} = {value}\n"


def toml_text(text: str) -> str:
    return (
        json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f").replace("\\/", "/")
        if (text.isascii())
        else '"' + "".join(f"\\U{ord(char):08X}" for char in text) + '"'
    )


def value_of(file: Path, dotted: str) -> Any:
    """Return the value in force, or the refusal."""
    section, _, key = dotted.partition(".")
    try:
        return getattr(getattr(load_settings(file), section), key)
    except FixSettings as err:
        return err


@pytest.mark.parametrize("dotted", [*TEXTS, *LISTS, *NUMBERS])
def test_text_in_a_setting_is_the_value_or_refused(dotted: str, tmp_path: Path, proof: Proof) -> None:
    file = tmp_path / "eventmint.toml"
    for text in PAYLOADS:
        literal = toml_text(text)
        file.write_text(toml(dotted, f"[{literal}]" if dotted in LISTS else literal), encoding="utf-8")
        found = value_of(file, dotted)
        if isinstance(found, FixSettings):
            assert dotted in found.message, text
            assert "\n" not in found.message or "\n" in text, text
        else:
            assert dotted not in NUMBERS, text
            assert found == ((text,) if dotted in LISTS else text), text
        variable = f"EVENTMINT_{dotted.upper().replace('.', '__')}"
        try:
            settings = load_settings(home=tmp_path / "none", environment={variable: text})
        except FixSettings:
            continue
        section, _, key = dotted.partition(".")
        if dotted in TEXTS:
            assert getattr(getattr(settings, section), key) == text
    assert [path.name for path in tmp_path.iterdir()] == ["eventmint.toml"]
    proof.tried("payloads as settings, in the file and in the environment", 2 * len(PAYLOADS))


def test_text_in_the_place_of_a_settings_file_is_a_file_or_refused(tmp_path: Path, proof: Proof) -> None:
    file = tmp_path / "eventmint.toml"
    for text in PAYLOADS:
        for whole in (text, f"{text} = 1\n", f"[{text}]\nx = 1\n", f"[lake]\n{text} = 'x'\n"):
            file.write_bytes(whole.encode())
            try:
                settings = load_settings(file)
            except FixSettings:
                continue
            assert settings.origins == {} or {*settings.origins} <= {
                f"{section}.{key.partition('.')[2]}" for section in SECTIONS for key in known_keys()
            }, whole
    proof.tried("payloads as text of eventmint.toml", 4 * len(PAYLOADS))


@pytest.mark.parametrize("part", range(2))
def test_a_lake_whose_settings_are_hostile_is_where_they_say_or_refused(
    part: int, tmp_path: Path, proof: Proof
) -> None:
    names = [text for text in in_file_names() if "\\" not in text and text != ".."]
    texts = proof.random("lake", part).sample(names, proof.times(4, 40))
    for number, text in enumerate(texts):
        home = tmp_path / str(number)
        Shop(home).deliver(text, event(), event(event_type=text, product_id=text))
        settings: dict[str, Any] = {
            "source__path": str(home / "source"),
            "source__settle_seconds": 0.0,
            "contract__event_types": ["purchase", text],
            "lake__root": str(home / text),
            "lake__database": str(home / f"{text}.duckdb"),
            "run__workers": 1,
        }
        if set("?#%") & set(text) or min(text) < " ":  # the catalog takes the folder for a URL
            with pytest.raises(FixSettings, match="lake.root"):
                eventmint.open_lake(**settings)
            assert [path.name for path in home.iterdir()] == ["source"], text
            continue
        lake = eventmint.open_lake(**settings)
        assert lake.run(now=NOW).totals.valid == 2, text
        assert sorted(path.name for path in home.iterdir()) == sorted([text, f"{text}.duckdb", "source"])
        asked = f"SELECT product_id FROM silver.events_cleaned WHERE event_type = {sql(text)}"
        assert lake.sql(asked).to_pylist() == [{"product_id": text}]
        assert all(law.holds for law in lake.verify())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(str(n) for n in range(len(texts)))
    proof.tried("lakes in folders and databases of hostile names", len(texts))
