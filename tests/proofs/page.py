"""Writes the figures of the last run of the proofs into docs/guarantees.md.

    make proof
    python tests/proofs/page.py

Reads `build/proofs-long.json`, and `build/proofs-short.json` for families that have not run in the long form;
refuses what has failed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "guarantees.md"
RESULTS = [REPOSITORY / "build" / f"proofs-{form}.json" for form in ("short", "long")]
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def with_figures(page: str, result: dict[str, Any]) -> str:
    """Return the page with the figures of a run in the place of those it has."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        message = f"the page lacks {BEGIN} or {END}"
        raise ValueError(message)
    return f"{before}{BEGIN}\n{figures(result)}{END}{after}"


def figures(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    seconds = sum(family["seconds"] for family in result["families"].values())
    about = (
        f"{result['machine']}; {versions}; {seconds / 60:,.0f} minutes of one core in all. "
        "Every case came out right."
    )
    lines = [
        about,
        "",
        "| family | run | tried | what |",
        "|---|---|--:|---|",
    ]
    for family, body in result["families"].items():
        name = f"[{family}](../tests/proofs/test_{family}.py)"
        run = f"{body['form']}, {body['date']}, seed {body['seed']}, {body['commit']}, {body['seconds']:,} s"
        for what, count in body["tried"].items():
            lines.append(f"| {name} | {run} | {count:,} | {what.replace('|', '&#124;')} |")
            name = run = ""
    return "\n".join(lines) + "\n"


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
