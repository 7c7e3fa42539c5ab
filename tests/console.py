"""Sessions that documents show, in ```console blocks: played by a shell, compared, and written anew.

The blocks of a page are one session, carried out in order in an empty folder; that of the README in as much
of a clone as it needs. A line that begins with `$ `
is a command, `> ` goes on with it; the lines below are what it said. Nobody types these: `make outputs`
writes them. What differs from one run to the next is named in VARIES, nowhere else, and left out of the
comparison; the folder is shown as /srv. A block in which nothing but that has changed is left as it is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from warm_cli import warm_eventmint

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "PIPELINE_DOCUMENTATION.md", "docs/tutorial.md")
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
VARIES = (
    (re.compile(r"^preparing .*\n", re.MULTILINE), ""),
    (re.compile(r"/\S*/((?:my-)?shop)/"), r"/srv/\1/"),
    (re.compile(r"\d+\.\d s\b"), "N s"),
    (re.compile(r"20\d{6}T\d{6}\.\d{6}"), "RUN"),
    (re.compile(r"(last run +)20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"), r"\1MOMENT"),
    (re.compile(r"(RUN-\d+ +)20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC +\d+\.\d\b"), r"\1MOMENT N"),
)
_END_OF_BLOCK = "\x1e"


def blocks(page: str) -> list[str]:
    return BLOCK.findall(page)


def commands(block: str) -> list[str]:
    """The commands of a block, as a document shows them; one may have several lines."""
    found: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(line)
        elif line.startswith("> "):
            found[-1] += f"\n{line}"
    return found


def prepare(folder: Path) -> None:
    """Make of an empty folder a clone, as far as the README's commands ask for one."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/eventmint").symlink_to(Path(sys.executable).parent / "eventmint")
    for name in ("sample-data", "queries.sql"):
        (folder / name).symlink_to(REPOSITORY / name)


def played(session: Sequence[str], folder: Path) -> list[str]:
    """Return the blocks with what their commands say now, carried out in a folder by one shell.

    `make demo` is `eventmint demo`: the environment that it makes first is the one that runs this.
    """
    script = ["exec 2>&1"]
    for block in session:
        for command in commands(block):
            # A command may ask for the exit code of the one before: echo $?
            script.append(f"code=$?; printf '%s\\n' {shlex.quote(command)}; (exit $code)")
            carried_out = "\n".join(line[2:] for line in command.splitlines())
            script.append(carried_out.replace("make demo", "eventmint demo"))
        script.append(f"printf {_END_OF_BLOCK}")
    places = {
        "EVENTS": str(REPOSITORY / "sample-data/events/year=2026/month=01/day=15/hour=10"),
        "COLUMNS": "160",
    }
    shell = [shutil.which("bash") or "sh", "-c", "\n".join(script)]
    with tempfile.TemporaryDirectory() as place, warm_eventmint(Path(place)) as quick:
        path = f"{quick}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        ended = subprocess.run(
            shell,
            cwd=folder,
            env=os.environ | places | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    said = ended.stdout.replace(str(folder), "/srv")
    return ["".join(f"{line.rstrip()}\n" for line in one.splitlines()) for one in said.split(_END_OF_BLOCK)][
        :-1
    ]


def comparable(block: str) -> list[str]:
    """Its lines without what differs from run to run."""
    for what, name in VARIES:
        block = what.sub(name, block)
    return block.splitlines()


def written_anew(page: str, folder: Path) -> str:
    """Return a page with what its commands say now; a block that says the same stays as it is."""
    shown = blocks(page)
    new = iter(zip(shown, played(shown, folder), strict=True))

    def block(_: re.Match[str]) -> str:
        before, now = next(new)
        return before if comparable(before) == comparable(now) else now

    return BLOCK.sub(block, page)


def main() -> None:
    """Write the outputs of every page anew, and say which have changed."""
    for name in PAGES:
        page = REPOSITORY / name
        before = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder).resolve()
            if name == "README.md":
                prepare(place)
            now = written_anew(before, place)
        page.write_text(now, encoding="utf-8")
        sys.stdout.write(f"{name}: {'as it was' if now == before else 'written anew'}\n")


if __name__ == "__main__":
    main()
