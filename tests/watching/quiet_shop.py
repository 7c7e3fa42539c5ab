"""A shop of eighteen days that have sixty views in most hours, and none in one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 5, 0, 30, tzinfo=UTC)
HOURS = 18 * 24
QUIET = HOURS - 6  # the number of the hour in which nothing came


def views(hour: int) -> list[dict[str, Any]]:
    """The views of one hour: sixty, thirty at night."""
    count = 30 if hour % 24 < 6 else 60
    return [
        {
            "timestamp": (START + timedelta(hours=hour, seconds=second)).isoformat(),
            "user_id": f"u-{second % 7}",
            "session_id": f"s-{hour}-{second}",
            "event_type": "page_view",
            "product_id": "p-1",
            "category": "Toys",
        }
        for second in range(count)
    ]


def views_until(hour: int) -> list[dict[str, Any]]:
    """The views of all hours before one, but for the quiet one."""
    return [view for number in range(hour) if number != QUIET for view in views(number)]
