"""What the documents show is carried out: sessions give the output that stands there, commands of every page
run on one lake, and TOML, JSON and Python are read by what reads them."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import console
import duckdb
import pytest
from blocks import INDENTED, PAGES, REPOSITORY, Block, blocks, blocks_of

from eventmint import cli, open_lake
from eventmint.config import SECTIONS, load_settings
from eventmint.mappings import read_mapping
from eventmint.values import EVENT_TYPES, Law

LANGUAGES = {"console", "sh", "sql", "python", "toml", "json", "ini", "text"}
# Commands that ask for an account, or another machine, or that do not end by themselves; tests of their own
# run them. Their words are checked by test_documents.
ELSEWHERE = re.compile(r"s3://|athena|--target aws|--id |--file - |^(deploy|destroy|aws|serve|watch)\b")
ASKS = re.compile(r"restate|backfill|rollback|quarantine replay|retain|forget (?!--verify)")
# What a document says of a code that is not 0.
OTHER_CODES = {"status --fail-if-stale 15m": 5, "run": 3, "run data": 3}
CALL = re.compile(r"(?:\w+=\S+ +)*(?:\.venv/bin/)?eventmint (.*?)(?: > (\S+))?(?:\s+# .*)?$")
RUN_ID = re.compile(r"\b20\d{6}T\d{4}\S*")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as far as a reader of the README needs one."""
    folder = tmp_path_factory.mktemp("clone")
    console.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def readme(clone: Path) -> list[str]:
    """What the sessions of the README say, carried out in the clone."""
    return console.played(shown_in_readme(), clone)


def shown_in_readme() -> list[str]:
    return console.blocks((REPOSITORY / "README.md").read_text(encoding="utf-8"))


@pytest.fixture
def demo(clone: Path, readme: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The clone as the current folder, its sessions carried out."""
    assert readme
    monkeypatch.chdir(clone)
    return clone


# ---- every block -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_block_is_fenced_and_says_its_language(page: Path) -> None:
    assert {str(block): block.language for block in blocks_of(page) if block.language not in LANGUAGES} == {}
    in_words = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in INDENTED.findall(in_words) if not line.lstrip().startswith(("-", "*"))] == []


# ---- sessions ----------------------------------------------------------------------------------------------


def test_the_readme_shows_what_its_commands_print(readme: list[str]) -> None:
    shown = shown_in_readme()
    assert sum(block.count("$ ") for block in shown) > 5
    assert list(map(console.comparable, readme)) == list(map(console.comparable, shown))


def test_the_readme_shows_the_first_rows_of_each_question(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = (one.text for one in blocks("text", page="README.md") if one.text.startswith("1. Conversion"))
    assert cli.main(["-C", "demo", "query", "-f", str(demo / "queries.sql")]) == 0
    printed = capsys.readouterr().out.split("\n\n")
    firsts = ["\n".join(line.rstrip() for line in part.splitlines()[:5]) for part in printed]
    assert [part.rstrip() for part in shown.split("\n\n")] == firsts


@pytest.mark.usefixtures("demo")
def test_the_readme_shows_what_its_python_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python", page="README.md")
    (shown,) = (one.text for one in blocks("text", page="README.md") if one.text.startswith("Totals("))
    carry_out(program)
    assert capsys.readouterr().out == shown


# ---- commands ----------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[Block, list[str], str]]:
    """Yield the commands of ours in the blocks of shell: the arguments, and the file that stdout goes to."""
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if found := CALL.match(line):
                yield block, words_of(found[1]), found[2] or ""


def words_of(call: str) -> list[str]:
    """Return the arguments of a call that a document shows: without what may be left out, smaller where it is
    about scale, and agreeing where it would ask."""
    words = shlex.split(re.sub(r"\[[^]]*\]", "", call).replace("625000", "50"))
    asks = ASKS.match(call) and "--dry-run" not in words
    return [*words, "--yes"] if asks else words


def test_the_commands_of_every_page_run(
    demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo / "my-shop")
    Path("queries.sql").symlink_to(REPOSITORY / "queries.sql")
    newest = open_lake().runs()[-1]["run_id"]
    Path("ids.txt").write_text("u-000b39442\n", encoding="utf-8")
    ended: dict[str, tuple[int, str]] = {}
    # Nothing goes back behind these.
    for block, words, file in sorted(commands(), key=lambda found: found[1][0] in ("retain", "forget")):
        call = shlex.join(words)
        if call not in ended and not ELSEWHERE.search(call):
            code = cli.main([RUN_ID.sub(newest, word) for word in words])
            out, err = capsys.readouterr()
            ended[call] = code, f"{block}: {err}"
            if file:
                Path(file).write_text(out, encoding="utf-8")
    assert len(ended) > 30
    wrong = {call: told for call, told in ended.items() if told[0] not in (0, OTHER_CODES.get(call))}
    assert wrong == {}


@pytest.mark.usefixtures("demo")
def test_what_the_program_of_duckdb_is_asked_is_answered() -> None:
    asked = [
        words[words.index("-c") + 1]
        for block in blocks("sh", page="docs/analysts.md")
        for words in map(shlex.split, block.text.splitlines())
        if words[0] == "duckdb"
    ]
    with duckdb.connect("demo/analytics.duckdb", read_only=True) as lake:
        assert len([lake.sql(sql).fetchall() for sql in asked if lake.sql(sql).fetchall()]) == 2


def test_every_target_of_make_that_a_document_names_exists() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {
        target
        for block in blocks("sh", "console")
        for target in re.findall(r"^(?:\$ )?make ([a-z]+)", block.text, re.MULTILINE)
    }
    assert {"demo", "docs", "reference"} <= named <= targets


# ---- Python ------------------------------------------------------------------------------------------------


def carry_out(block: Block) -> dict[str, Any]:
    names: dict[str, Any] = {"date": date}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - the documents are ours
    return names


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    assert ast.parse(block.text).body


@pytest.mark.usefixtures("demo")
def test_the_reference_shows_python_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("python", page="docs/reference/api.md")
    carry_out(block)
    assert capsys.readouterr().out == "55783 True\n"


def test_analysts_get_frames_and_charts(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, chart = blocks("python", page="docs/analysts.md")
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda _self, **how: shown.append(how))
    monkeypatch.chdir(demo / "demo")
    carry_out(chart)
    assert [set(how) for how in shown] == [{"config"}]
    # pandas and Polars are the readers' own; what they are handed is the same Arrow table.
    program = re.sub(r"\.(df|pl)\(\)", ".to_arrow_table()", frames.text)
    names = carry_out(Block(frames.page, frames.line, "python", program))
    assert names["frame"].equals(names["table"])
    assert names["frame"].num_rows == 4


def test_airflow_and_dagster_run_what_running_shows(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not installed here: in their place stand decorators that only call what is decorated."""
    airflow, dagster = blocks("python", page="docs/running.md")
    made: list[Any] = []

    def noting(function: Callable[[], Any]) -> Callable[[], None]:
        return lambda: made.append(function())

    def decorator(*_: Any, **__: Any) -> Callable[[Callable[[], Any]], Callable[[], None]]:
        return noting

    def asset(function: Callable[[], Any]) -> None:
        made.append(function())

    def module(name: str, **names: Any) -> None:
        stand_in = ModuleType(name)
        vars(stand_in).update(names)
        monkeypatch.setitem(sys.modules, name, stand_in)

    module("airflow")
    module("airflow.decorators", dag=decorator, task=decorator)
    names = ("Definitions", "MaterializeResult", "ScheduleDefinition", "define_asset_job")
    module("dagster", asset=asset, **dict.fromkeys(names, lambda *_, **given: SimpleNamespace(**given)))
    for block in (airflow, dagster):
        text = block.text.replace("/srv/shop/", f"{demo / 'my-shop'}/")
        carry_out(Block(block.page, block.line, "python", text))
    events, _, result = made  # of the task, of the DAG around it, of the asset
    assert isinstance(events, int)
    assert result.metadata["laws hold"] is True


# ---- TOML and JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_read_by_what_reads_it(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "shown.toml"
    file.write_text(block.text, encoding="utf-8")
    if set(tomllib.loads(block.text)) <= set(SECTIONS):
        assert load_settings(file).origins
    else:
        mapping = read_mapping(file.name, tmp_path, EVENT_TYPES)
        assert mapping is not None
        assert mapping.event_types


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    decoder, rest = json.JSONDecoder(), block.text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        assert isinstance(value, dict)
        rest = rest[end:].strip()


def test_a_broken_law_is_told_in_the_words_of_the_pipelines_page() -> None:
    said = re.compile(r"BROKEN  (.*?\.parquet): (.*?): (\d+) = (\d+) broken by \d+: (.*)")
    lines = [
        line
        for block in blocks("text", page="PIPELINE_DOCUMENTATION.md")
        for line in block.text.splitlines()
        if line.startswith("BROKEN")
    ]
    assert len(lines) == 2
    for line in lines:
        found = said.fullmatch(line)
        assert found, line
        subject, terms, left, right, detail = found.groups()
        assert line == f"BROKEN  {Law('values', subject, terms, int(left), int(right), detail)}"
