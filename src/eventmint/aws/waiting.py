"""Waiting for AWS: ask, sleep a little longer each time, ask again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from eventmint.errors import TryAgain

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
GROWTH = 1.5

Seen = TypeVar("Seen")


def wait_until(
    ask: Callable[[], Seen],
    is_done: Callable[[Seen], bool],
    what: str,
    limit_seconds: float,
    longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
) -> Seen:
    """Return the first answer that is done.

    Raises: TryAgain: none was within the limit; what was started goes on without us.
    """
    deadline = time.monotonic() + limit_seconds
    pause = FIRST_PAUSE_SECONDS
    while not is_done(seen := ask()):
        if time.monotonic() > deadline:
            raise TryAgain(f"{what}: not done after {limit_seconds / 60:.0f} minutes.", "Look again later.")
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - callers must not march in step
        pause = min(pause * GROWTH, longest_pause_seconds)
    return seen
