"""Following: what is published of a lake that other machines write is brought up to date by its readers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from eventmint.errors import TryAgain
from eventmint.serve import analytics_db
from eventmint.storage import local
from eventmint.tables.catalog import LakeCatalog

LOOK_SECONDS = 60.0


class Follower:
    """Keeps a database up to a lake, looking once a minute at most.

    Args:
        facts: what is told beside the tables; raises TryAgain while the lake is between two states.
    """

    def __init__(self, catalog: LakeCatalog, database: Path, facts: Callable[[], str]) -> None:
        self._catalog = catalog
        self._database = database
        self._facts = facts
        self._turn = threading.Lock()
        self._looked: float | None = None

    def follow(self) -> None:
        """Bring the database up to date, if that can be done now; else the old state stays.

        Raises: TryAgain: there is no old state either.
        """
        with self._turn:
            if self._looked is not None and time.monotonic() - self._looked < LOOK_SECONDS:
                return
            try:
                self._bring_up()
            except TryAgain:
                if not self._database.exists():
                    raise
            self._looked = time.monotonic()

    def _bring_up(self) -> None:
        if analytics_db.is_current(self._catalog, self._database):
            return
        # Other readers on this machine write the same file.
        with local.lock(self._database.with_name(f".{self._database.name}.follow")):
            analytics_db.publish(self._catalog, self._database, self._facts(), only_whole=True)
