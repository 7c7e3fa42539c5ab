"""The two forms of every proof, short and long: how often, from which seed, and what was tried."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Proof:
    """The size of a proof, its randomness, and its book.

    Attributes:
        seed: of the whole session; every generator is derived from it and from a name.
        is_long: whether this is the long form.
    """

    seed: int
    is_long: bool
    name: str = ""
    book: Counter[str] = field(default_factory=Counter)

    def times(self, short: int, long: int) -> int:
        """How often something is tried in this form."""
        return long if self.is_long else short

    def random(self, *names: object) -> Random:
        """A generator of its own for these names: the same one whenever the seed is the same."""
        return Random(repr((self.seed, *names)))

    def tried(self, what: str, count: int = 1) -> None:
        """Note that something was tried and came out right; `what` is a plural in plain words."""
        self.book[what] += count


def form() -> Proof:
    """The form that the environment asks for."""
    is_long = os.environ.get("EVENTMINT_PROOF") == "long"
    return Proof(int(os.environ.get("EVENTMINT_PROOF_SEED", "1")), is_long)
