"""Shops to look at: events with hostile names, and the lakes that hold them."""

from __future__ import annotations

import gzip
import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from eventmint.lake import Lake, open_lake
from eventmint.serve.formats import share, short_count, short_money

# Two months, of which one day has nothing.
DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(60) if n != 40]
HOSTILE = (
    "</script><img src=x onerror=document.title='hit'>",
    "<b>bold</b>",
    "%{y} $a$ {{7*7}}",
    "' onmouseover='document.title=1",
    "=HYPERLINK(1)",
    "\u202egnp.exe",
    "\u2028line",
)


def write_events(folder: Path, events: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "events.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def event(
    day: date, kind: str, n: int, *, product: str, category: str, price: float = 10.0
) -> dict[str, Any]:
    return {
        "timestamp": f"{day}T{n % 24:02d}:00:{n % 60:02d}.{n:03d}Z",
        "user_id": f"u-{n % 7}",
        "session_id": f"s-{day}-{n % 9}",
        "event_type": kind,
        "product_id": product,
        "category": category,
        "quantity": 1 + n % 3 if kind != "page_view" else None,
        "price": price,
        "search_query": None,
    }  # fmt: skip


def lake_in(folder: Path) -> Lake:
    """The lake of a folder whose events lie in `data`."""
    return open_lake(
        source__path=str(folder / "data"),
        source__settle_seconds=0,
        lake__root=str(folder / "lake"),
        lake__database=str(folder / "analytics.duckdb"),
    )


def two_months(folder: Path) -> Lake:
    """Two months of a shop with two ordinary categories and one for each hostile name."""
    names = [("p-1", "Books"), ("p-2", "Toys"), *((name, name) for name in HOSTILE)]
    events = []
    for number, day in enumerate(DAYS):
        for n in range(20 + number):
            product, category = names[n // 3 % len(names)] if n % 3 else names[n // 3 % 2]
            kind = ("page_view", "page_view", "add_to_cart", "purchase")[n % 4]
            events.append(event(day, kind, n, product=product, category=category, price=10 + number / 4))
    write_events(folder / "data", events)
    lake = lake_in(folder)
    lake.run()
    return lake


def told(lake: Lake, start: date, end: date, category: str | None = None) -> dict[str, str]:
    """What the tiles must tell of some days, from the rows of the answers."""
    shop = [
        row
        for row in lake.answer("category_performance", start=start, end=end).to_pylist()
        if category in (None, row["category"])
    ]
    people = lake.answer("user_activity", start=start, end=end).to_pylist()
    users = sum(row["unique_users"] for row in people)
    bought, viewed = (sum(row[column] for row in shop) for column in ("purchases", "page_views"))
    return {
        "Revenue": short_money(sum((row["revenue"] for row in shop), Decimal(0))),
        "Purchases": short_count(bought),
        "From view to purchase": share(bought, viewed),
        "Visitors per day": short_count(Decimal(users) / len(people)),
        "Sessions per visitor": f"{Decimal(sum(row['unique_sessions'] for row in people)) / users:.2f}",
    }
