"""Crash points: the named places between two effects of a run, where a proof ends the process at once.

In ordinary life `reached` does nothing. A proof puts a function of its own in `on_reached`, in the process
that it is about to kill; which points there are, and that each is met, is asserted by `tests/proofs`.
"""

from __future__ import annotations

from collections.abc import Callable

on_reached: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Say that one effect is complete and the next has not begun."""
    if on_reached is not None:
        on_reached(point)
