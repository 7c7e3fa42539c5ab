"""The reference is what the program says of itself, all of it, and in words."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = ("reference/cli.md", "reference/config.md", "reference/tables.md", "reference/api.md", "adr/index.md")


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(DOCS / "reference/generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_reference_is_what_the_program_says() -> None:
    ended = generate("--check")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_page_that_is_stale_or_gone_is_named_and_written_again(tmp_path: Path) -> None:
    for name in PAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(DOCS / name, tmp_path / name)
    stale, gone = tmp_path / "reference/config.md", tmp_path / "adr/index.md"
    stale.write_text(stale.read_text(encoding="utf-8").replace("`500`", "`400`"), encoding="utf-8")
    gone.unlink()
    ended = generate("--check", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == "stale: reference/config.md, adr/index.md. Run `make reference`.\n"
    assert generate(str(tmp_path)).returncode == 0
    assert [(tmp_path / name).read_bytes() for name in PAGES] == [
        (DOCS / name).read_bytes() for name in PAGES
    ]


@pytest.mark.parametrize("name", ["reference/api.md", "reference/config.md", "reference/cli.md"])
def test_nothing_of_the_reference_is_without_a_meaning(name: str) -> None:
    assert re.findall(r"^\|.*\| *\|$", page(name), re.MULTILINE) == []


def test_every_part_of_the_program_has_its_place() -> None:
    from eventmint.cli import cli
    from eventmint.config import known_keys
    from eventmint.contracts import all_contracts
    from eventmint.lake import Lake

    methods = [name for name, one in vars(Lake).items() if callable(one) and not name.startswith("_")]
    assert [name for name in cli.commands if f"\n## eventmint {name}\n" not in page("reference/cli.md")] == []
    assert [key for key in known_keys() if f"\n| `{key}` |" not in page("reference/config.md")] == []
    assert [name for name in methods if f"\n### Lake.{name}\n" not in page("reference/api.md")] == []
    columns = [column.name for shape in all_contracts() for column in shape.columns]
    assert re.findall(r"^\| `(\w+)` \|", page("reference/tables.md"), re.MULTILINE) == columns


def test_every_decision_is_listed_by_its_title() -> None:
    decisions = sorted((DOCS / "adr").glob("[0-9]*.md"))
    listed = re.findall(r"^\| (\d+) \| \[(.*)\]\((.*)\) \|$", page("adr/index.md"), re.MULTILINE)
    heads = [file.read_text(encoding="utf-8").partition("\n")[0] for file in decisions]
    assert [f"# {number}. {title}" for number, title, _ in listed] == heads
    assert [name for _, _, name in listed] == [file.name for file in decisions]
