"""Fail when a test was skipped that must run: only a reason that starts with "optional:" is a good one.

python .ci/skip_gate.py build/junit.xml...      where neither CI=true nor EVENTMINT_CI=1: only tells
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path


def main(reports: list[Path]) -> int:
    """Print each skipped test and how many ran per folder of tests; return 1 if one must not be skipped."""
    ran: Counter[str] = Counter()
    forbidden = 0
    cases = (case for report in reports for case in ET.parse(report).iter("testcase"))  # noqa: S314 - our own
    for case in cases:
        name = f"{case.get('classname')}.{case.get('name')}".strip(".")
        skipped = case.find("skipped")
        if skipped is None or skipped.get("type") == "pytest.xfail":
            ran[name.split(".")[1]] += 1
            continue
        # A skipped module has its reason in the text: ('file', line, 'Skipped: reason')
        reason = skipped.get("message") or ""
        if reason == "collection skipped":
            reason = (skipped.text or "").partition("Skipped: ")[2].rstrip("')\"")
        optional = reason.startswith("optional:")
        forbidden += not optional
        print(f"{'skip' if optional else 'FAIL'} {name}: {reason}")
    print("ran:", ", ".join(f"{folder} {count}" for folder, count in sorted(ran.items())))
    must_run = os.environ.get("CI") == "true" or os.environ.get("EVENTMINT_CI") == "1"
    return 1 if forbidden and must_run else 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
