"""Writes the figures of the last run of the proofs into docs/guarantees.md.

    make proof ARGS=tests/proofs/test_limits.py
    python tests/proofs/page.py

Reads what `make proof` left in `build/`. A family that has not run keeps the figures that the page has: the
hours of the long form can be spent in parts. The short form never takes the place of the long one. Refuses
what has failed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "guarantees.md"
RESULTS = [REPOSITORY / "build" / f"proofs-{form}.json" for form in ("short", "long")]
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def with_figures(page: str, result: dict[str, Any]) -> str:
    """Return the page with the figures of a run in the place of those it has of the same families."""
    before, _, rest = page.partition(BEGIN)
    held, end, after = rest.partition(END)
    if not end:
        message = f"the page lacks {BEGIN} or {END}"
        raise ValueError(message)
    rows = rows_by_family(held)
    for family, body in result["families"].items():
        if body["form"] == "long" or "| long, " not in "".join(rows.get(family, [])):
            rows[family] = [*rows_of(family, body)]
    return f"{before}{BEGIN}\n{figures(result, rows)}{END}{after}"


def rows_by_family(figures: str) -> dict[str, list[str]]:
    """Return the rows of the table by family: the first row of each names it."""
    rows: dict[str, list[str]] = {}
    for line in figures.splitlines():
        if named := re.match(r"\| \[(\w+)\]", line):
            rows[named[1]] = []
        if line.startswith("| ") and rows:
            rows[[*rows][-1]].append(line)
    return rows


def rows_of(family: str, body: dict[str, Any]) -> Iterator[str]:
    name = f"[{family}](../tests/proofs/test_{family}.py)"
    run = f"{body['form']}, {body['date']}, seed {body['seed']}, {body['commit']}, {body['seconds']:,} s"
    for what, count in body["tried"].items():
        yield f"| {name} | {run} | {count:,} | {what.replace('|', '&#124;')} |"
        name = run = ""


def figures(result: dict[str, Any], rows: dict[str, list[str]]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    seconds = sum(int(found.replace(",", "")) for found in re.findall(r", ([\d,]+) s \|", str(rows)))
    about = (
        f"{result['machine']}; {versions}; {seconds / 60:,.0f} minutes of one core in all. "
        "Every case came out right."
    )
    table = ["| family | run | tried | what |", "|---|---|--:|---|"]
    table += [row for family in sorted(rows) for row in rows[family]]
    return "\n".join([about, "", *table]) + "\n"


def main() -> int:
    result: dict[str, Any] = {"families": {}}
    for path in RESULTS:
        found = json.loads(path.read_text()) if path.exists() else {"families": {}}
        result |= found | {"families": result["families"] | found["families"]}
    failed = [family for family, body in result["families"].items() if body["failed"]]
    if failed:
        sys.stderr.write(f"nothing written: {', '.join(failed)} failed\n")
        return 1
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    sys.stderr.write(f"{PAGE.relative_to(REPOSITORY)}: figures of {len(result['families'])} families\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
