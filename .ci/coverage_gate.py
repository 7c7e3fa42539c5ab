"""Fail when a module on which the numbers rest is not tested well: lines and branches, each above 95 %.

python .ci/coverage_gate.py build/coverage.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ABOVE = 95.0
MODULES = (
    "eventmint.bronze.parse",
    "eventmint.bronze.judge",
    "eventmint.bronze.mapped",
    "eventmint.bronze.mapped_fields",
    "eventmint.bronze.land",
    "eventmint.silver.refine",
    "eventmint.gold.aggregate",
    "eventmint.tables.commit",
)


def main(report: Path) -> int:
    """Print one line per module; return 1 if one is not above the gate or was not measured."""
    files = json.loads(report.read_text())["files"]
    failures = 0
    for module in MODULES:
        measured = files.get(f"src/{module.replace('.', '/')}.py")
        if measured is None:
            failures += 1
            print(f"FAIL {module}: not measured")
            continue
        summary = measured["summary"]
        lines = percent(summary["covered_lines"], summary["num_statements"])
        branches = percent(summary["covered_branches"], summary["num_branches"])
        passed = min(lines, branches) > ABOVE
        failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {module}: lines {lines:.1f} %, branches {branches:.1f} %")
        if not passed:
            print(f"     missing lines {measured['missing_lines']}, branches {measured['missing_branches']}")
    return 1 if failures else 0


def percent(covered: int, total: int) -> float:
    return 100.0 * covered / total if total else 100.0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
