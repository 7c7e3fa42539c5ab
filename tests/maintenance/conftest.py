"""Ways to end a run, or maintenance, in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from eventmint import crash_points


class CutOff(BaseException):
    """Ends whatever runs; nothing of ours catches it."""


@pytest.fixture
def cut_off_at() -> Callable[[str], AbstractContextManager[None]]:
    """Return what cuts off at the first time that a crash point is reached."""

    @contextmanager
    def cutting(wanted: str) -> Iterator[None]:
        def cut_off(point: str) -> None:
            if point == wanted:
                raise CutOff

        crash_points.on_reached = cut_off
        try:
            with pytest.raises(CutOff):
                yield
        finally:
            crash_points.on_reached = None

    return cutting
