"""kill -9 between any two effects of a run: the next run ends where the killed one would have.

Each item is a shop with events of its own, in which a run is killed at every crash point; what follows is
compared with a run that nobody disturbed: rows of every table, ledger, totals, the record, and nothing left.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from proofs.forms import Proof, form
from proofs.programs import outcome_of
from proofs.stage import POINTS


@pytest.mark.parametrize("shop", range(form().times(10, 100)))
def test_the_next_run_ends_where_the_killed_one_would_have(proof: Proof, shop: int, tmp_path: Path) -> None:
    seed = proof.random("kills", shop).randrange(1 << 32)
    found = outcome_of("kill_matrix", tmp_path, seed)
    assert set(found["met"]) == POINTS
    assert found["differing"] == {}, found["stderr"]
    proof.tried("kills, each followed by a run that was compared", found["kills"])
    proof.tried("crash points, each at least once per shop", len(POINTS))
