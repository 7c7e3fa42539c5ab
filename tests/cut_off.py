"""Runs that end in the middle, in this process: as a kill would, but for what is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eventmint import crash_points


class CutOff(BaseException):
    """Ends what is at work; nothing of ours catches it."""


@contextmanager
def at_every_point(act: Callable[[str], None]) -> Iterator[None]:
    """Do this at each crash point that is reached, with its name."""
    crash_points.on_reached = act
    try:
        yield
    finally:
        crash_points.on_reached = None


@contextmanager
def cut_off_after(number: int) -> Iterator[None]:
    """End what is at work at the so-manieth crash point, if it comes there."""
    left = number

    def cut_off(_point: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise CutOff

    with at_every_point(cut_off):
        yield


@contextmanager
def cut_off_at(wanted: str) -> Iterator[None]:
    """End what is at work at the crash point of this name; it must come there."""

    def cut_off(point: str) -> None:
        if point == wanted:
            raise CutOff

    with at_every_point(cut_off), pytest.raises(CutOff):
        yield
