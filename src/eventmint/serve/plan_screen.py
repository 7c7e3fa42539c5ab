"""The screen of `plan`: drawn from the very document that `--json` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventmint.run_log import counted
from eventmint.serve.terminal import Column, Page, right

Document = Mapping[str, Any]
_NAMES_SHOWN = 10
_CENT = Decimal("0.01")


def draw_plan(page: Page, document: Document) -> None:
    """What comes in, what is written where, what it costs; then what is unusual."""
    expected = document["expected"]
    if not document["changed"]:
        page.line("nothing is new: a run would change nothing")
        return
    page.line("a run would do this:")
    _draw_intake(page, document)
    _draw_tables(page, expected)
    _draw_cost(page, document)
    _draw_oddities(page, document)
    page.line()
    page.line(f"planned in {document['seconds']:.1f} s; nothing was written")


def _draw_intake(page: Page, document: Document) -> None:
    expected, took = document["expected"], document["expected"]["totals"]
    outcomes = Counter(planned["outcome"].replace("_", " ") for planned in document["files"])
    outcomes["replacing an earlier version"] = sum(planned["replaces"] for planned in document["files"])
    read = expected["read_bytes"]
    held = sum(size for place, size in read.items() if place != "source")
    lines = (
        f"{took['lines']:,}: {took['events']:+,} events, {took['duplicates']:,} duplicates, "
        f"{took['quarantined']:,} quarantined, {took['blank']:,} blank"
    )
    rows = [
        ("files", ", ".join(f"{count:,} {what}" for what, count in outcomes.items() if count) or "none"),
        ("lines", lines),
        ("hours", _span(expected["hours"], "hour")),
        ("days", _span(expected["days"], "day")),
        ("reads", f"{read.get('source', 0):,} bytes of the source, {held:,} of tables"),
    ]
    page.table([Column(), Column()], rows)


def _draw_tables(page: Page, expected: Document) -> None:
    if not expected["wrote"]:
        return
    page.line()
    page.table(
        [Column("table"), right("days"), right("files"), right("bytes"), right("replaces"), right("bytes")],
        [
            [
                table,
                f"{len(wrote['days']):,}" if wrote["days"] else "-",
                f"{wrote['files']:,}",
                f"{wrote['size_bytes']:,}",
                f"{wrote['removed_files']:,}",
                f"{wrote['removed_bytes']:,}",
            ]
            for table, wrote in expected["wrote"].items()
        ],
    )


def _draw_cost(page: Page, document: Document) -> None:
    page.heading("on AWS", "by list prices, without free tiers")
    page.table(
        [Column(), right("quantity"), Column(), right("dollars")],
        [
            *(
                [line["name"], f"{Decimal(line['quantity']):,.3f}", line["unit"], _dollars(line["dollars"])]
                for line in document["cost"]
            ),
            ["total", "", "", _dollars(document["dollars"])],
        ],
    )


def _draw_oddities(page: Page, document: Document) -> None:
    expected = document["expected"]
    made = [table for table, columns in document["drift"].items() if not columns]
    rows = [
        ("new tables", f"{len(made)}" if made else ""),
        *(
            (f"{table}", f"gets {', '.join(columns)}")
            for table, columns in document["drift"].items()
            if columns
        ),
        ("unknown fields", _counts(document["unknown_fields"])),
        ("quarantined for", _counts(expected["quarantined_by_reason"])),
        ("set aside", _counts(Counter(expected["set_aside"].values()))),
        ("still written", f"{expected['files_unsettled']:,} files" if expected["files_unsettled"] else ""),
        ("left behind", ", ".join(document["behind"])),
        ("restated", ", ".join(expected["restated"])),
        ("maintenance", _maintenance(document["maintenance"])),
        *(("BROKEN LAW", law["text"]) for law in expected["laws"] if not law["holds"]),
    ]
    if shown := [row for row in rows if row[1]]:
        page.line()
        page.table([Column(), Column()], shown)


def _maintenance(due: Document | None) -> str:
    if not due:
        return ""
    rows = due["rows_retained"]
    return "is due after this run" + (f"; retention removes {counted(rows, 'row')}" if rows else "")


def _span(names: list[str], noun: str) -> str:
    if not names:
        return "none"
    many = f"{len(names):,} {noun}{'s' if len(names) > 1 else ''}"
    return f"{many}: {names[0]}" + (f" to {names[-1]}" if names[1:] else "")


def _counts(counted: Mapping[str, int]) -> str:
    most = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    more = f", {len(most) - _NAMES_SHOWN:,} more" if len(most) > _NAMES_SHOWN else ""
    return ", ".join(f"{name} {count:,}" for name, count in most[:_NAMES_SHOWN]) + more


def _dollars(text: str) -> str:
    amount = Decimal(text)
    return f"${amount:,.2f}" if amount == 0 or amount >= _CENT else f"${amount:.6f}"
