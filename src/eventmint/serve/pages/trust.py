"""Trust: what became of every line, and whether that adds up. Published beside the tables as `ops.facts`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb

from eventmint.errors import FixData
from eventmint.serve.formats import jsonable
from eventmint.serve.pages.days import Ask

Document = dict[str, Any]


def trust(
    books: Mapping[str, int],
    reasons: Mapping[str, int],
    files: Mapping[str, int],
    last_run: Mapping[str, Any] | None,
    newest: datetime | None,
) -> Document:
    """Return the way of the lines from the files to the events as plain data.

    Args:
        books: the terms of the laws, as `documents.books` tells them.
        reasons: quarantined lines by reason.
        files: how many files have which outcome.
        last_run: its record; its laws may not have held, then the tables are those of one before it.
        newest: the latest event of all.
    """
    taken = [
        ("Blank", books["blank"]),
        ("Quarantined", books["quarantined"]),
        ("Of replaced files", books["replaced"]),
        ("Duplicates", books["duplicates"]),
        *([("Of forgotten people", books["suppressed"])] if books.get("suppressed") else []),
    ]
    steps = [("Lines in", books["lines"]), *taken, ("Events", books["events"])]
    missing = books["lines"] - books["events"] - sum(count for _, count in taken)
    return {
        "steps": [{"label": label, "count": count} for label, count in steps],
        "missing": missing,
        "accounted": not missing and bool(last_run and last_run["laws_hold"]),
        "laws": len(last_run["laws"]) if last_run else 0,
        "reasons": [{"reason": reason, "lines": lines} for reason, lines in _most_first(reasons)],
        "files": sum(files.values()),
        "unreadable_files": files.get("set_aside", 0),
        "newest_event": newest,
    }


def as_facts(trust: Document) -> str:
    """Return what is published: the same state, the same text."""
    return json.dumps(trust, default=jsonable, sort_keys=True)


def published_trust(ask: Ask) -> Document:
    """Return what was published beside the tables. Raises: FixData: nothing was."""
    try:
        rows = ask("SELECT document FROM ops.facts", []).to_pylist()
    except duckdb.CatalogException:  # published by a version that did not tell it
        rows = []
    if not rows:
        raise FixData(
            "analytics.duckdb does not tell what became of the lines.", "Run `eventmint run` to rebuild it."
        )
    found: Document = json.loads(rows[0]["document"])
    newest = found["newest_event"]
    return {**found, "newest_event": newest and datetime.fromisoformat(newest)}


def freshness(newest: datetime | None, now: datetime, late_after: timedelta | None) -> Document | None:
    """Return in words how far the events reach, and whether that is late.

    Args: late_after: None calls nothing late.
    """
    if newest is None:
        return None
    behind = now - newest
    late = f"data is {_told(behind)} behind" if late_after is not None and behind > late_after else ""
    return {"text": f"events until {newest:%-d %b %Y %H:%M} UTC", "late": late}


def _told(span: timedelta) -> str:
    """Return a length of time in the largest unit of which there are two."""
    for unit, name in ((timedelta(days=1), "days"), (timedelta(hours=1), "h")):
        if span >= 2 * unit:
            return f"{span // unit:,} {name}"
    return f"{span // timedelta(minutes=1)} min"


def _most_first(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
