"""kill -9 between any two effects of a run: the next run ends where the killed one would have.

Each item is a shop with events of its own, in which a run is killed at crash points; what follows is compared
with a run that nobody disturbed: rows of every table, ledger, totals, the record, and nothing left. The long
form kills at all points in every shop, the short one at those around the commits of two tables, in turn.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from proofs.forms import Proof, form
from proofs.programs import outcome_of
from proofs.stage import POINTS

from eventmint.contracts import all_contracts

OTHERS = sorted(point for point in POINTS if not point.startswith("commit "))
COMMITS = [(f"commit {shape.table}: before", f"commit {shape.table}: after") for shape in all_contracts()]
TABLES_IN_SHORT = 2


@pytest.mark.parametrize("shop", range(form().times(10, 100)))
def test_the_next_run_ends_where_the_killed_one_would_have(proof: Proof, shop: int, tmp_path: Path) -> None:
    seed = proof.random("kills", shop).randrange(1 << 32)
    points = sorted(POINTS) if proof.is_long else [*around_commits(shop), *OTHERS]
    found = outcome_of("kill_matrix", tmp_path, seed, *points)
    assert set(found["met"]) == POINTS
    assert found["differing"] == {}, found["stderr"]
    proof.tried("kills, each followed by a run that was compared", found["kills"])
    proof.tried("crash points met, and killed at in this shop", len(points))


def around_commits(shop: int) -> list[str]:
    """The points around the commits of two tables, other ones from shop to shop."""
    first = shop * TABLES_IN_SHORT
    return [
        point for number in range(first, first + TABLES_IN_SHORT) for point in COMMITS[number % len(COMMITS)]
    ]
