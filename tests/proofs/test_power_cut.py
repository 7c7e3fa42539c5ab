"""A power cut between any two effects of a run: what was not synced is gone, the next run makes it good."""

from __future__ import annotations

from pathlib import Path

import pytest
from proofs.forms import Proof, form
from proofs.programs import outcome_of

CUTS = 12


@pytest.mark.parametrize("shop", range(form().times(1, 40)))
def test_what_was_not_synced_is_not_missed(proof: Proof, shop: int, tmp_path: Path) -> None:
    seed = proof.random("power", shop).randrange(1 << 32)
    found = outcome_of("power_cut", tmp_path, seed, CUTS)
    assert found["differing"] == {}, found["stderr"]
    proof.tried("power cuts, each followed by a run that was compared", found["cuts"])
    proof.tried("files and folders that the cuts took away", found["lost"])
