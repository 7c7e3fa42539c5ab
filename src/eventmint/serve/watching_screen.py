"""How hours look that are unlike the weeks before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventmint.serve.terminal import Column, Page, right

Document = Mapping[str, Any]
NEEDED = "an hour is judged when it is complete and there are 16 days before it"


def draw_anomalies(page: Page, document: Document) -> None:
    if not document["hours"]:
        page.line(f"no hour to judge yet: {NEEDED}")
        return
    page.line(f"{document['start']:%Y-%m-%d %H:%M} to {document['end']:%Y-%m-%d %H:%M} UTC")
    if document["anomalies"]:
        page.table(
            [
                Column("hour"),
                Column("figure"),
                right("found"),
                right("expected"),
                right("change"),
                right("strength"),
            ],
            [
                [f"{anomaly['hour']:%Y-%m-%d %H:%M}", *_cells(deviation)]
                for anomaly in document["anomalies"]
                for deviation in anomaly["deviations"]
            ],
        )
    judged = ", ".join(f"{figure} {count:,}" for figure, count in document["judged"].items())
    page.line(f"hours judged: {judged} (of {document['hours']:,})")
    if not document["judged"]["events"]:
        page.line(f"not enough history: {NEEDED}")
    elif not document["anomalies"]:
        page.line("no anomaly")


def _cells(deviation: Document) -> list[str]:
    is_rate = deviation["figure"].endswith("_rate")
    shown = [
        f"{deviation[name]:.1%}" if is_rate else f"{deviation[name]:,.0f}" for name in ("found", "expected")
    ]
    change = "" if deviation["change"] is None else f"{deviation['change']:+.0%}"
    return [deviation["figure"], *shown, change, f"{deviation['strength']:+.1f}"]
