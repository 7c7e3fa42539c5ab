"""Outlook: the hours of a lake held against the weeks before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from eventmint.contracts import contract
from eventmint.engine.parquet import read_rows
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import live_files
from eventmint.values import LedgerEntry
from eventmint.watching import figures, series
from eventmint.watching.anomalies import Anomalies, find_anomalies


def judge_hours(
    catalog: LakeCatalog, entries: Collection[LedgerEntry], end: datetime | None, count: int
) -> Anomalies:
    """Judge so many hours before `end`; None where nothing has come in."""
    if end is None:
        return Anomalies()
    start = end - (series.HOURS_NEEDED + count) * figures.HOUR
    days = {(start + timedelta(days=n)).date() for n in range((end - start).days + 2)}
    books, sold = contract("silver.event_hours"), contract("gold.hourly_revenue")
    hours = figures.hourly_figures(
        read_rows(file.location for file in live_files(catalog.load(books), books)),
        read_rows(file.location for file in live_files(catalog.load(sold), sold, days=days)),
        entries,
        start,
        end,
    )
    return find_anomalies(hours, end, count)
