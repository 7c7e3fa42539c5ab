"""Following: what is published of a lake that other machines write is brought up to date by its readers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eventmint.errors import EventmintError, TryAgain
from eventmint.serve import analytics_db
from eventmint.storage import local
from eventmint.storage.trouble import telling_trouble
from eventmint.tables.catalog import LakeCatalog

LOOK_SECONDS = 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    """What is told beside the tables, and whether these are whole and their books balance."""

    facts: str
    is_sound: bool


class Follower:
    """Keeps a database up to a lake, looking once a minute at most.

    Args:
        told: asks the lake; None where there is none. Raises TryAgain while a run is at work.
    """

    def __init__(self, catalog: LakeCatalog, database: Path, told: Callable[[], Told | None]) -> None:
        self._catalog = catalog
        self._database = database
        self._told = told
        self._turn = threading.Lock()
        self._looked: float | None = None

    def follow(self) -> None:
        """Bring the database up to date, if that can be done now; else the old state stays, and nobody waits.

        Raises: EventmintError: it cannot, and there is no old state either.
        """
        has_old = self._database.exists()
        if not self._turn.acquire(blocking=not has_old):
            return  # somebody is at it
        try:
            if self._looked is None or time.monotonic() - self._looked >= LOOK_SECONDS:
                self._bring_up()
        except EventmintError as err:
            if not has_old:
                raise
            log.warning("the lake cannot be followed, the state before is shown: %s", err)
        finally:
            if self._database.exists():
                self._looked = time.monotonic()
            self._turn.release()

    @telling_trouble()
    def _bring_up(self) -> None:
        told = self._told()
        if told is None:
            return
        with writing(self._database):
            if not told.is_sound:
                analytics_db.tell(self._database, told.facts)
            elif not analytics_db.is_current(self._catalog, self._database, told.facts):
                analytics_db.publish(self._catalog, self._database, told.facts, lambda: self._confirm(told))

    def _confirm(self, told: Told) -> None:
        if self._told() != told:
            raise TryAgain("A run has written the tables meanwhile.", "Ask again in a minute.")


@contextmanager
def writing(database: Path) -> Iterator[None]:
    """Hold a database that several processes of this machine may bring up to date.

    Raises: LockHeld: another one is at it.
    """
    with local.lock(database.with_name(f".{database.name}.follow")):
        yield
