"""How a run tells what it does while it does it. The stages report; who watches decides how it looks."""

from __future__ import annotations

import logging
from typing import Protocol

log = logging.getLogger("eventmint")


class Progress(Protocol):
    """A watcher of a run."""

    def start(self, stage: str, files: int, size_bytes: int) -> None:
        """A stage begins: so many files of so many compressed bytes; 0 where it is not counted in files."""

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        """So much more is done."""

    def finish(self, stage: str, note: str) -> None:
        """A stage has ended."""


class Silent:
    """Watches without a word, apart from the log."""

    def start(self, stage: str, files: int, size_bytes: int) -> None:
        log.debug("stage=%s files=%d bytes=%d", stage, files, size_bytes)

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        pass

    def finish(self, stage: str, note: str) -> None:
        log.debug("stage=%s %s", stage, note)
