"""What a change of the contract breaks: for whoever reads the tables, and for the shop that sends events.

A change breaks something when what worked by the old contract may fail, or mean something else, by the new
one: a column that is gone, has another type or may be NULL now; a line that passed and is now quarantined.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventmint.config import Settings
from eventmint.contracts import all_contracts
from eventmint.errors import FixData
from eventmint.mappings import EVENTS

FORMAT = 1
_HINT = "Save one with `eventmint --json contract show > contract.json`."
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Attributes:
        subject: the table and column, or the rule of events, that it is about.
        text: what is different.
        breaks: what may fail by it; empty where nothing can.
    """

    subject: str
    text: str
    breaks: str = ""


def contract_document(settings: Settings) -> dict[str, Any]:
    """Return the contract in force as plain data: the rules for events, and every table with its columns."""
    rules = settings.contract
    return {
        "format": FORMAT,
        "events": {
            "event_types": list(rules.event_types),
            "optional": list(rules.optional),
            "max_line_bytes": rules.max_line_bytes,
            "dedup": list(settings.quality.dedup),
            "format": settings.source.format,
            "mapping": json.loads(settings.mapping.declared) if settings.mapping else {},
        },
        "tables": {
            shape.table: {
                "grain": shape.grain,
                "columns": {
                    column.name: {"id": column.id, "type": column.type, "required": column.required}
                    for column in shape.columns
                },
            }
            for shape in all_contracts()
        },
    }


def read_contract(file: Path) -> dict[str, Any]:
    """Return a contract that was saved. Raises: FixData: the file holds none."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise FixData(f"{file}: a contract of format {document['format']}, expected {FORMAT}.", _HINT)
        changes(document, document)  # everything that is compared is there
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise FixData(f"{file}: holds no contract ({type(err).__name__}: {err}).", _HINT) from err
    return dict(document)


def changes(old: Document, new: Document) -> list[Change]:
    """Return every difference, what breaks something first."""
    found = [*_rules(old["events"], new["events"]), *_tables(old["tables"], new["tables"])]
    return sorted(found, key=lambda change: not change.breaks)


# ---- events ------------------------------------------------------------------------------------------------


def _rules(old: Document, new: Document) -> Iterator[Change]:
    for name in _gone(old["event_types"], new["event_types"]):
        yield Change("events.event_type", f"{name} is unknown", "such lines are quarantined from now on")
    for name in _gone(new["event_types"], old["event_types"]):
        yield Change("events.event_type", f"{name} is known")
    for name in _gone(old["optional"], new["optional"]):
        yield Change(f"events.{name}", "is required", "lines without it are quarantined from now on")
    for name in _gone(new["optional"], old["optional"]):
        yield Change(f"events.{name}", "may be missing", "readers meet NULL in it")
    before, after = old["max_line_bytes"], new["max_line_bytes"]
    if before != after:
        breaks = "longer lines are quarantined from now on" if after < before else ""
        yield Change("events.max_line_bytes", f"{before:,}, now {after:,}", breaks)
    if old["dedup"] != new["dedup"]:
        before, after = (", ".join(one["dedup"]) for one in (old, new))
        yield Change(
            "events.dedup",
            f"{before}, now {after}",
            "a lake keeps its key: it takes a new one to use another",
        )
    yield from _format(old, new)


def _format(old: Document, new: Document) -> Iterator[Change]:
    # A contract that was saved before there were other formats says nothing of them.
    before, after = (one.get("format", EVENTS) for one in (old, new))
    if before != after:
        breaks = "lines of the former format are quarantined from now on"
        yield Change("events.format", f"{before}, now {after}", breaks)
    elif old.get("mapping", {}) != new.get("mapping", {}):
        yield Change("events.mapping", f"{after} is read in another way", "lines may mean something else")


# ---- tables ------------------------------------------------------------------------------------------------


def _tables(old: Document, new: Document) -> Iterator[Change]:
    for table in _gone(old, new):
        yield Change(table, "the table is gone", "whoever reads it fails")
    for table in _gone(new, old):
        yield Change(table, "a new table")
    for table in old:
        if table in new:
            yield from _table(table, old[table], new[table])


def _table(table: str, old: Document, new: Document) -> Iterator[Change]:
    if old["grain"] != new["grain"]:
        yield Change(table, f"{old['grain']}, now {new['grain']}", "a row means something else")
    before, after = old["columns"], new["columns"]
    for name in _gone(before, after):
        yield Change(f"{table}.{name}", "the column is gone", "whoever reads it fails")
    for name in _gone(after, before):
        breaks = "rows of before have none" if after[name]["required"] else ""
        kind = "required" if after[name]["required"] else "nullable"
        yield Change(f"{table}.{name}", f"a new {kind} column of type {after[name]['type']}", breaks)
    for name in before:
        if name in after:
            yield from _column(f"{table}.{name}", before[name], after[name])


def _column(subject: str, old: Document, new: Document) -> Iterator[Change]:
    if old["type"] != new["type"]:
        yield Change(subject, f"{old['type']}, now {new['type']}", "whoever reads it may fail")
    if old["id"] != new["id"]:
        yield Change(subject, f"field id {old['id']}, now {new['id']}", "files of before do not have it")
    if old["required"] and not new["required"]:
        yield Change(subject, "may be NULL", "readers meet NULL in it")
    if new["required"] and not old["required"]:
        yield Change(subject, "is required", "rows of before may be NULL")


def _gone(before: Any, after: Any) -> list[str]:
    return [name for name in before if name not in after]
