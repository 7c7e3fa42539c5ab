"""Published in the bucket: the report, and the file it is drawn from, which the next run goes on with."""

from __future__ import annotations

from pathlib import Path

from eventmint.storage import put, s3

DATABASE, REPORT = "analytics.duckdb", "report.html"


def published_folder(lake: str) -> str:
    return f"{lake.rstrip('/')}/published"


def fetch_database(lake: str, folder: Path) -> None:
    """Bring the file of the run before into a folder, if there is one: only what changed is then built."""
    try:
        s3.download(f"{published_folder(lake)}/{DATABASE}", folder / DATABASE)
    except s3.Changed:
        return  # there is none


def put_report(lake: str, folder: Path) -> str:
    """Put report and file from a folder into the bucket; return the report's address.

    Raises: TryAgain, FixSettings: S3 does not take them.
    """
    place = published_folder(lake)
    put([(folder / name, f"{place}/{name}") for name in (DATABASE, REPORT)])
    return f"{place}/{REPORT}"
