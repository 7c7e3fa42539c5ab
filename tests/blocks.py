"""The documents and their blocks of code; and a console session, carried out again."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("sample-data/*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)    .*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document, with the line on which it begins."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str, page: str | None = None) -> list[Block]:
    """Return the blocks of some languages, of one page or of all."""
    pages = [REPOSITORY / page] if page else PAGES
    return [block for path in pages for block in blocks_of(path) if block.language in languages]


def blocks_of(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(path.relative_to(REPOSITORY).as_posix(), line, found[1], found[2])


def replayed(session: str, folder: Path) -> str:
    """A console session with its commands carried out again in a folder, by one shell.

    `make demo` is `eventmint demo`: the environment that it makes first is the one that tests run in.
    """
    commands = [line for line in session.splitlines() if line.startswith("$ ")]
    carried_out = [line[2:].replace("make demo", "eventmint demo") for line in commands]
    pairs = zip(commands, carried_out, strict=True)
    told = ((f"code=$?; printf '%s\\n' {shlex.quote(shown)}; (exit $code)", run) for shown, run in pairs)
    script = "\n".join(["exec 2>&1", *(line for lines in told for line in lines)])
    places = {
        "EVENTS": str(REPOSITORY / "sample-data/events/year=2026/month=01/day=15/hour=10"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "160",
    }
    command = [shutil.which("bash") or "sh", "-c", script]
    ended = subprocess.run(
        command, cwd=folder, env=os.environ | places, capture_output=True, text=True, check=False
    )
    return ended.stdout


def comparable(session: str) -> list[str]:
    """Its lines without what differs from run to run: seconds, moments, folders, the making of .venv."""
    text = re.sub(r"^preparing .*\n", "", session, flags=re.MULTILINE)
    text = re.sub(r"\d+\.\d s\b", "N s", text)
    text = re.sub(r"20\d{6}T\d{6}\.\d{6}", "RUN", text)
    text = re.sub(r"(last run +)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", r"\1MOMENT", text)
    text = re.sub(r"/\S*/((?:my-)?shop)/", r"/srv/\1/", text)
    return [line.rstrip() for line in text.splitlines()]
