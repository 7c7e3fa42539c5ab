"""What every proof starts from: how long it is, its seed, and a book of what was tried and how often.

`make proof` runs the long form, `make proof FORM=short` what continuous integration runs. The seed of the
short form is fixed, that of the long form is drawn and printed; `SEED=...` repeats a run.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from proofs.forms import REPOSITORY, Proof, form

PARTS = ("duckdb", "pyiceberg", "pyarrow", "hypothesis")
TRIED = "tried"


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Iterator[Proof]:
    """The form for one proof. What it notes is told at the end of the session and kept in `build/`."""
    found = form()
    found.name = request.node.nodeid
    yield found
    request.node.user_properties.append((TRIED, json.dumps(found.book)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and Path(__file__).parent in item.path.parents:
        length = "long" if form().is_long else "short"
        again = f"make proof FORM={length} SEED={form().seed} ARGS='{item.nodeid}'"
        report.sections.append(("to see it again", again))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    tried: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = defaultdict(float)
    failed: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            nodeid = getattr(report, "nodeid", "")
            if not (nodeid.startswith("tests/proofs/") and hasattr(report, "outcome")):
                continue
            family = Path(nodeid.partition("::")[0]).stem.removeprefix("test_")
            seconds[family] += getattr(report, "duration", 0.0)
            failed[family] += report.outcome == "failed"
            if getattr(report, "when", "") == "teardown":
                for name, book in getattr(report, "user_properties", ()):
                    if name == TRIED:
                        tried.setdefault(family, Counter()).update(json.loads(book))
    if tried:
        _tell(terminalreporter, tried, seconds, failed)


def _tell(
    terminal: Any, tried: dict[str, Counter[str]], seconds: dict[str, float], failed: Counter[str]
) -> None:
    length = "long" if form().is_long else "short"
    terminal.section(f"proofs, {length} form, seed {form().seed}")
    for family, book in sorted(tried.items()):
        verdict = f"{failed[family]} FAILED" if failed[family] else "all right"
        terminal.write_line(f"{family.replace('_', ' ')}: {verdict}, {seconds[family]:.0f} s")
        for what, count in book.items():
            terminal.write_line(f"  {count:>11,}  {what}")
    target = Path(os.environ.get("PROOF_BOOKS", REPOSITORY / "build")) / f"proofs-{length}.json"
    target.parent.mkdir(exist_ok=True)
    # Families may be run one by one: each is kept as it last ran.
    families = json.loads(target.read_text())["families"] if target.exists() else {}
    for family, book in tried.items():
        families[family] = {
            "form": length,
            "tried": book,
            "seconds": round(seconds[family]),
            "failed": failed[family],
            "seed": form().seed,
            "date": datetime.now(UTC).date().isoformat(),
            "commit": _commit(),
        }
    result = {
        "form": length,
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "versions": {part: version(part) for part in PARTS},
        "families": dict(sorted(families.items())),
    }
    target.write_text(json.dumps(result, indent=1) + "\n")


def _commit() -> str:
    git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
