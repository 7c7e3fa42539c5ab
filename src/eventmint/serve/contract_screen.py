"""How the contract, and what a change of it breaks, look on a screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventmint.serve.terminal import Column, Page, right

Document = Mapping[str, Any]


def draw_contract(page: Page, document: Document) -> None:
    page.heading("events", "what a line must be: docs/semantics.md")
    rules = document["events"]
    page.table(
        [Column(), Column()],
        [[name, _told(value)] for name, value in rules.items() if name != "mapping"],
    )
    if rules["mapping"]:
        page.heading(f"format {rules['format']}", "which of its events are ours: docs/formats.md")
        page.table(
            [Column("its name"), Column("event_type")],
            [[name, ours or "(none)"] for name, ours in rules["mapping"]["event_types"].items()],
        )
    for table, shape in document["tables"].items():
        page.heading(table, shape["grain"])
        page.table(
            [right("id"), Column("column"), Column("type"), Column("")],
            [
                [str(column["id"]), name, column["type"], "required" if column["required"] else ""]
                for name, column in shape["columns"].items()
            ],
        )


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def draw_contract_changes(page: Page, document: Document) -> None:
    if not document["changes"]:
        page.line("nothing is different")
        return
    page.table(
        [Column(""), Column("what"), Column("difference"), Column("what may fail")],
        [
            ["BREAKS" if change["breaks"] else "", change["subject"], change["text"], change["breaks"]]
            for change in document["changes"]
        ],
    )
    page.line()
    page.line(f"{len(document['changes'])} differences, of which {document['breaking']} break something")
