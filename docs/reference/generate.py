"""Write the reference: each module beside this one makes the page of its name from the program itself.

`make reference` writes the pages and the list of decisions; `python docs/reference/generate.py --check` fails
when one is not what it would write. The same program gives the same pages, on any machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import api
import cli
import config
import decisions
import tables

DOCS = Path(__file__).resolve().parent.parent
NOTE = "<!-- Written by `make reference` from {}; change it there. -->\n\n"
# Each page, from what it is made, and how.
PAGES = {
    "reference/cli.md": ("the commands in src/eventmint/cli", cli.page),
    "reference/config.md": ("src/eventmint/config.py", config.page),
    "reference/tables.md": ("the contract.toml of each table", tables.page),
    "reference/api.md": ("the docstrings of src/eventmint/lake.py", api.page),
    "adr/index.md": ("the pages beside it", decisions.page),
}


def stale(docs: Path) -> Iterator[tuple[Path, str]]:
    """Yield each page of a folder that is not as it should be, with its right text."""
    for name, (source, page) in PAGES.items():
        text = NOTE.format(source) + page().strip() + "\n"
        file = docs / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            yield file, text


def main(arguments: list[str]) -> int:
    """Write what is stale, or with `--check` only name it; the folder may be another than ours."""
    folders = [Path(word) for word in arguments if word != "--check"]
    docs = folders[0] if folders else DOCS
    names = []
    for file, text in stale(docs):
        names.append(file.relative_to(docs).as_posix())
        if "--check" not in arguments:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(file)
    if names and "--check" in arguments:
        print(f"stale: {', '.join(names)}. Run `make reference`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
