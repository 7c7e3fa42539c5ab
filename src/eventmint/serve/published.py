"""Where the published tables are: found without any of the libraries that read them."""

from __future__ import annotations

from pathlib import Path

from eventmint.config import Settings
from eventmint.errors import FixData

NOT_YET = "Run `eventmint run SOURCE` first. If it lies elsewhere, name its folder with -C."


def published_database(settings: Settings) -> Path:
    """Return the file of published tables. Raises: FixData: there is none."""
    path = settings.database_path
    if not path.is_file():
        raise FixData(f"{path}: nothing has been published yet.", NOT_YET)
    return path
