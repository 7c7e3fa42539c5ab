"""Trust: what became of every line, and whether that adds up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def trust(
    books: Mapping[str, int],
    reasons: Mapping[str, int],
    files: Mapping[str, int],
    last_run: Mapping[str, Any] | None,
    newest: datetime | None,
) -> dict[str, Any]:
    """Return the way of the lines from the files to the events as plain data.

    Args:
        books: the terms of the laws, as `documents.books` tells them.
        reasons: quarantined lines by reason.
        files: how many files have which outcome.
        newest: the latest event of all.
    """
    taken = [
        ("Blank", books["blank"]),
        ("Quarantined", books["quarantined"]),
        ("Of replaced files", books["replaced"]),
        ("Duplicates", books["duplicates"]),
    ]
    steps = [("Lines in", books["lines"]), *taken, ("Events", books["events"])]
    missing = books["lines"] - books["events"] - sum(count for _, count in taken)
    return {
        "steps": [{"label": label, "count": count} for label, count in steps],
        "missing": missing,
        "accounted": not missing and bool(last_run and last_run["laws_hold"]),
        "laws": len(last_run["laws"]) if last_run else 0,
        "reasons": [{"reason": reason, "lines": lines} for reason, lines in reasons.items()],
        "files": sum(files.values()),
        "unreadable_files": files.get("set_aside", 0),
        "newest_event": newest,
    }
