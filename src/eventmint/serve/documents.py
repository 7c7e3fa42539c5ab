"""Documents: results as plain data, from what the lake tells. `--json` prints them, screens draw them."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from eventmint.contracts import contract
from eventmint.serve.formats import columns_of, json_rows
from eventmint.values import EXPECTED_REASONS, LedgerEntry, Totals, bad_lines

LEADING_REASONS = 3
Document = dict[str, Any]


def books(totals: Totals, entries: Iterable[LedgerEntry], live_contents: frozenset[str]) -> dict[str, int]:
    """Return the terms of the laws; `replaced` are valid lines of file versions that a newer one replaced."""
    replaced = 0
    for entry in entries:
        if entry.has_lines and entry.sha256 not in live_contents:
            replaced += entry.valid
        elif entry.status == "retained":  # of what it removed, that which had been replaced before
            replaced += (entry.valid_retained or 0) - entry.valid
    return {**asdict(totals), "replaced": replaced}


def file_outcomes(entries: Iterable[LedgerEntry]) -> Counter[str]:
    """Return how many file versions had which outcome."""
    return Counter(entry.status for entry in entries if entry.is_of_file)


def status_document(
    layers: Sequence[Mapping[str, Any]],
    totals: Mapping[str, int],
    entries: Sequence[LedgerEntry],
    newest_event: datetime | None,
    last_run: Mapping[str, Any] | None,
) -> Document:
    return {
        "layers": [{**layer, "grain": contract(layer["table"]).grain} for layer in layers],
        "files": file_outcomes(entries),
        "newest_event": newest_event,
        "totals": totals,
        "last_run": last_run and {name: value for name, value in last_run.items() if name != "laws"},
        "laws_hold": last_run and last_run["laws_hold"],
    }


def staleness(newest: datetime | None, now: datetime, allowed: timedelta) -> str | None:
    """Return what to say where the newest event is older than allowed, or where there is none."""
    if newest is None:
        return "There is no event yet."
    if now - newest <= allowed:
        return None
    return f"The newest event is of {newest:%Y-%m-%d %H:%M:%S} UTC, older than {allowed}."


def history_document(runs: Sequence[Mapping[str, Any]], limit: int) -> Document:
    """Return the newest runs, without their single laws; `count` is how many there are."""
    newest = [{name: value for name, value in run.items() if name != "laws"} for run in runs[::-1][:limit]]
    return {"count": len(runs), "runs": newest}


def files_document(entries: Sequence[LedgerEntry]) -> Document:
    """Return the ledger; `below` is the folder that all paths have in common."""
    paths = [entry.path for entry in entries if entry.is_of_file or entry.replayed_from]
    common = os.path.commonprefix(paths)  # noqa: RUF071 - cut at a slash below
    rows = [
        {**asdict(entry), "unknown_fields": json.loads(entry.unknown_fields or "{}")} for entry in entries
    ]
    return {"count": len(rows), "below": common[: common.rfind("/") + 1], "files": rows}


def lines_document(reason: str, count: int, rows: Iterable[Mapping[str, Any]]) -> Document:
    """Return quarantined lines; `count` is how many have the reason."""
    return {"reason": reason, "count": count, "lines": [_line(row) for row in rows]}


def result_document(title: str, rows: pa.Table, is_cut: bool) -> Document:
    return {"title": title, "columns": columns_of(rows), "rows": json_rows(rows), "truncated": is_cut}


def quarantine_complaint(report: Mapping[str, Any], limit: float) -> str | None:
    """Return what to say when a run has set more than this share of its lines aside."""
    by_reason = report["quarantined_by_reason"]
    quarantined = bad_lines(report["totals"]["quarantined"], by_reason)
    judged = report["totals"]["valid"] + quarantined
    if not judged or quarantined / judged <= limit:
        return None
    bad = ((reason, count) for reason, count in by_reason.items() if reason not in EXPECTED_REASONS)
    reasons = sorted(bad, key=lambda item: (-item[1], item[0]))
    leading = ", ".join(f"{reason} {count:,}" for reason, count in reasons[:LEADING_REASONS])
    return (
        f"{quarantined:,} of {judged:,} lines are quarantined "
        f"({quarantined / judged:.2%}, allowed are {limit:.2%}), mostly {leading}."
    )


def _line(row: Mapping[str, Any]) -> Document:
    raw: bytes = row["raw"]
    line = {
        "file": row["source_file"],
        "line_number": row["line_number"],
        "reasons": row["problem"].split(", "),
        "raw": raw.decode("utf-8", "backslashreplace"),
        "extra": row["extra"],
    }
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        line["raw_base64"] = base64.b64encode(raw).decode()  # the text can't say it all
    return line
