"""The right answers of generated sample data, held against what a lake says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eventmint.serve.formats import json_text
from eventmint.values import LedgerEntry


def load_truth(file: Path, entries: Iterable[LedgerEntry]) -> dict[str, Any] | None:
    """Return the truth if there is one for just these files; it says nothing about others."""
    if not file.exists():
        return None
    truth: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    known = {entry["path"] for entry in truth["files"]}
    found = {_sample_path(entry.path) for entry in entries if entry.is_of_file}
    return truth if found == known else None


def differences(truth: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names under which a lake says something else than the truth.

    Args:
        found: `totals`, `quarantined_by_reason`, and each answer's rows by its name.
    """
    same = json.loads(json_text(dict(found)))  # decimals and days as the text that the truth has
    different = [
        name
        for name in ("totals", "quarantined_by_reason")
        if truth[name] != {key: same[name].get(key, 0) for key in truth[name]}
    ]
    for name, rows in truth["answers"].items():
        columns = rows[0].keys() if rows else ()
        if _comparable(rows, columns) != _comparable(same[name], columns):
            different.append(name)
    return different


def _sample_path(path: str) -> str:
    start = path.rfind("events/year=")
    return path[start:] if start >= 0 else path


def _comparable(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> list[str]:
    names = sorted(columns)
    return sorted(json.dumps([row[name] for name in names]) for row in rows)
