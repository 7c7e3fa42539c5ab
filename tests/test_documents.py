"""The documents are true where a machine can tell: links lead somewhere, commands exist, runs are as told."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import click
import console
import pytest
from blocks import PAGES, REPOSITORY

from eventmint import errors
from eventmint.cli import anomalies, common, contract, look  # noqa: F401 - their errors have exit codes
from eventmint.cli.frame import cli

DIAGRAMS = REPOSITORY / "docs" / "diagrams"
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
CALL = re.compile(r"(?:^\s*|[$|&;] +|=\S+ +|/)eventmint (?=\S)(.*)")
# What ends a call in a document: another command, a comment, or what is said beside it.
END_OF_CALL = re.compile(r"\s{2,}|\s[|;>&#]|;|\s\\$|`| or |\)$")
# Files that a document names without their being in this repository: a user's, or one of each table.
OF_USERS = {"eventmint.toml", "contract.toml", "model.sql"}
LEAST_RUNS_SHOWN = 4
SHORTEST_POST, LONGEST_POST = 1_500, 2_500


def named(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


every_document = pytest.mark.parametrize("document", PAGES, ids=named)


# ---- links -------------------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """The names that headings can be linked by, as GitHub makes them."""
    headings = HEADING.findall(prose(document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(text: str) -> str:
    """A document without its code."""
    return "\n".join(line for is_code, line in lines_of(text) if not is_code)


def broken_links(document: Path) -> Iterator[str]:
    for link in LINK.findall(CODE_SPAN.sub("", prose(document.read_text(encoding="utf-8")))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@every_document
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    assert list(broken_links(document)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, `two`\n[a](page.md#one-two) [b](gone.md) [c](#three) `[d](code.md)`\n\n    [e](code.md)\n"
    )
    assert list(broken_links(page)) == ["gone.md", "#three"]


# ---- commands ----------------------------------------------------------------------------------------------


def lines_of(text: str) -> Iterator[tuple[bool, str]]:
    """Each line, and whether it is code: fenced, or indented behind an empty line."""
    is_fenced = is_indented = False
    before = ""
    for line in text.splitlines():
        if line.startswith("```"):
            is_fenced = not is_fenced
        is_indented = line.startswith("    ") and (is_indented or not before.strip())
        yield is_fenced or is_indented or line.startswith("```"), line
        before = line


def calls(text: str) -> Iterator[str]:
    """What stands behind `eventmint` wherever a document shows a call."""
    for is_code, line in lines_of(text):
        for piece in [line, *CODE_SPAN.findall(line)] if is_code else CODE_SPAN.findall(line):
            if found := CALL.search(piece):
                yield END_OF_CALL.split(found[1], maxsplit=1)[0].rstrip(".,:")


def complaint(call: str) -> str:
    """What is wrong with a call: an unknown command, an unknown option, a choice that there is not."""
    try:
        words = shlex.split(call.replace("[", " ").replace("]", " "))
    except ValueError as err:
        return str(err)
    command: click.Command = cli
    while words:
        word, equals, value = words.pop(0).partition("=")
        if word.startswith("-"):
            known = command.get_params(click.Context(command, help_option_names=["-h", "--help"]))
            option = next((one for one in known if word in one.opts + one.secondary_opts), None)
            if option is None:
                return f"{command.name} has no option {word}"
            if isinstance(option, click.Option) and not option.is_flag:
                given = value if equals else words.pop(0) if words else ""
                choices = option.type.choices if isinstance(option.type, click.Choice) else ()
                if choices and not set(given.split("|")) <= set(choices):
                    return f"{word} cannot be {given!r}"
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{command.name} has no command {word}"
            command = found
    return ""


@every_document
def test_every_command_that_a_document_shows_exists_with_its_options(document: Path) -> None:
    shown = list(calls(document.read_text(encoding="utf-8")))
    assert {call: said for call in shown if (said := complaint(call))} == {}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("go data", "cli has no command go"),
        ("run data --wokers 2", "run has no option --wokers"),
        ("-C shop quarantine replya", "quarantine has no command replya"),
        ("run --engine polars", "--engine cannot be 'polars'"),
        ("files --status=lost", "--status cannot be 'lost'"),
        ("-C shop --json quarantine replay --reason x --dry-run", ""),
        ("funnel --steps a,b --window 30m [--by product|category] --help", ""),
    ],
)
def test_a_command_that_does_not_exist_is_found(call: str, said: str) -> None:
    assert complaint(call) == said


def test_commands_are_found_in_blocks_and_in_words() -> None:
    text = (
        "eventmint turns; `eventmint run`, `eventmint`, `eventmint.toml`.\n\n"
        "    cd x && .venv/bin/eventmint -q run || true\n"
        "    $ eventmint watch --every 1m      says nothing\n\n"
        "```sh\nA=1 eventmint serve   # live\n```\n"
    )
    assert list(calls(text)) == ["run", "-q run", "watch --every 1m", "serve"]


# ---- exit codes --------------------------------------------------------------------------------------------


def exit_codes() -> set[int]:
    def below(kind: type[errors.EventmintError]) -> Iterator[int]:
        yield kind.exit_code
        for child in kind.__subclasses__():
            yield from below(child)

    return {0, *below(errors.EventmintError)}


def test_the_runbook_has_a_section_for_every_exit_code_and_for_no_other() -> None:
    text = (REPOSITORY / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^## (\d+)\b", text, re.MULTILINE)] == sorted(exit_codes())


def test_the_readme_lists_every_exit_code_and_no_other() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("| exit code | means |")[2]
    rows = text.partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)] == sorted(exit_codes())


# ---- what was pasted from a run ----------------------------------------------------------------------------


# That of the README is played by tests/docs/test_examples.py, which goes on in its folder.
@pytest.mark.parametrize("name", sorted({*console.PAGES} - {"README.md"}))
def test_a_session_that_a_page_shows_goes_as_shown(name: str, tmp_path: Path) -> None:
    shown = console.blocks((REPOSITORY / name).read_text(encoding="utf-8"))
    played = console.played(shown, tmp_path)
    assert sum(block.count("$ eventmint run") for block in shown) >= LEAST_RUNS_SHOWN
    assert [console.comparable(block) for block in played] == [console.comparable(block) for block in shown]


def test_outputs_are_written_anew_where_they_say_something_else_now(tmp_path: Path) -> None:
    page = (
        "# A\n```console\n$ echo took 1.5 s\ntook 9.9 s\n```\nwords, ```code```\n"
        "```console\n$ for word in one two\n> do echo $word; done\nthree\n$ pwd\n```\n"
    )
    assert console.written_anew(page, tmp_path) == page.replace("three\n$ pwd\n", "one\ntwo\n$ pwd\n/srv\n")


# ---- the blog post -----------------------------------------------------------------------------------------


def figures_of(paragraph: str) -> set[str]:
    """What a paragraph claims in digits: not the numbers of names, links and code."""
    words = re.sub(r"\]\([^)]*\)|\[ADR \d+|`[^`]*`", "", paragraph)
    return set(re.findall(r"(?<![\w.-])\$?\d[\d,.]*\d(?: %| billion)?|(?<![\w.-])\d+(?![\w.,-])", words))


def is_command(code: str) -> bool:
    """Whether code is a command that exists: of eventmint with its options, or a target of make."""
    program, _, rest = code.partition(" ")
    if program == "eventmint":
        return bool(rest) and complaint(rest) == ""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    target, *arguments = rest.split() or [""]
    paths = [word.partition("=")[2] for word in arguments if word.startswith("ARGS=tests/")]
    return (
        program == "make"
        and re.search(rf"^{target}:", makefile, re.MULTILINE) is not None
        and all((REPOSITORY / path).exists() for path in paths)
    )


def unfounded(paragraph: str, place: Path) -> set[str]:
    """The figures of a paragraph that no page it links to has; all of them where it names no command."""
    if not any(is_command(code) for code in CODE_SPAN.findall(paragraph)):
        return figures_of(paragraph)
    linked = [place / link.partition("#")[0] for link in LINK.findall(paragraph) if "://" not in link]
    pages = "\n".join(page.read_text(encoding="utf-8") for page in linked if page.suffix == ".md")
    return {figure for figure in figures_of(paragraph) if not stands_in(pages, figure)}


def stands_in(pages: str, figure: str) -> bool:
    """Whether a page has this number, and not only as a part of another one."""
    return re.search(rf"(?<![\d.,]){re.escape(figure.lstrip('$'))}(?![\d])", pages) is not None


def test_the_blog_post_has_a_command_and_a_page_for_each_of_its_figures() -> None:
    page = REPOSITORY / "docs" / "blog-post.md"
    text = page.read_text(encoding="utf-8")
    assert SHORTEST_POST <= len(text.split()) <= LONGEST_POST
    # What is printed as code belongs to the words before it.
    paragraphs = re.split(r"\n\n(?! {4})", re.sub(r"<!--.*?-->", "", text))
    assert {paragraph: said for paragraph in paragraphs if (said := unfounded(paragraph, page.parent))} == {}


def test_a_figure_without_a_command_or_a_page_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("$40.78 and 4,367 and 87.2 % and 1184")
    linked = "[here](page.md), `eventmint cost`"
    assert unfounded(f"$40.78, 4,367 kills, 87.2 % less, v2 and S3; {linked}", tmp_path) == set()
    wrong = {"$40.79", "367", "88.2 %", "84"}
    assert unfounded(f"$40.79, 367 kills, 88.2 % of 84: {linked}", tmp_path) == wrong
    for code in ("`eventmint costs`", "`make coffee`", "`make proof ARGS=tests/gone.py`", ""):
        assert unfounded(f"4,367 kills: [here](page.md) {code}", tmp_path) == {"4,367"}


# ---- layers ------------------------------------------------------------------------------------------------


def test_the_layers_that_contributors_read_of_are_those_that_are_checked() -> None:
    tree = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = tree["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert " > ".join(layers) in " ".join(page.split())


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "PIPELINE_DOCUMENTATION.md", "SECURITY.md"])
def test_every_file_that_is_named_in_words_exists(name: str) -> None:
    text = prose((REPOSITORY / name).read_text(encoding="utf-8"))
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|sql|md|toml))`", text)) - OF_USERS
    places = [REPOSITORY, REPOSITORY / "src" / "eventmint", REPOSITORY / "tests" / "proofs"]
    assert named
    assert {path for path in named if not any((place / path).exists() for place in places)} == set()


# ---- scaling -----------------------------------------------------------------------------------------------


def test_the_tables_of_scaling_follow_from_the_figures_that_the_page_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY))
    scale_out = import_module("benchmarks.workloads.scale_out")
    report = import_module("benchmarks.report")
    page = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
    per_million, fixed, land, refine, fixed_on_spark = (
        float(figure) for figure in re.findall(r"\*\*(\d+\.\d+)\*\*", page)
    )
    for scale in scale_out.SCALES:
        lines = scale * scale_out.FILE_LINES / 1e6
        seconds = fixed + per_million * lines
        cores = seconds / scale_out.WINDOW_SECONDS / scale_out.USED
        day = lines * scale_out.RUNS_PER_DAY / 1000
        row = f"| {scale:,}x | {lines:,.1f} | {seconds:,.1f} | {cores:.2f} |"
        assert f"{row} {19.3 * day:,.1f} | {27.4 * day:,.1f} |" in page
    section = report.Section("")
    model = scale_out.Model(fixed_on_spark, land, refine)
    scale_out.model_table(section, model, scale_out.glue_dpu_hour())
    assert section.blocks[0] in page
    assert f"benchmarks.workloads.scale_out {fixed_on_spark} {land} {refine}`" in page


# ---- pictures ----------------------------------------------------------------------------------------------


def drawn(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, str(folder / "draw.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_pictures_are_what_their_texts_make() -> None:
    ended = drawn(DIAGRAMS, "--check")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {path.stem for path in DIAGRAMS.glob("*.svg")} == {path.stem for path in DIAGRAMS.glob("*.toml")}


def test_a_picture_that_is_stale_is_named_and_drawn_again(tmp_path: Path) -> None:
    folder = tmp_path / "diagrams"
    shutil.copytree(DIAGRAMS, folder)
    source, picture = folder / "aws.toml", folder / "aws.svg"
    source.write_text(source.read_text().replace('title = "Lambda"', 'title = "A & B"'))
    ended = drawn(folder, "--check")
    assert (ended.returncode, ended.stderr) == (1, "stale: aws.svg. Run `python docs/diagrams/draw.py`.\n")
    assert drawn(folder).returncode == 0
    assert ">A &amp; B</text>" in picture.read_text()
    assert drawn(folder, "--check").returncode == 0
