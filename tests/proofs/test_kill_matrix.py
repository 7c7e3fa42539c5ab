"""kill -9 between any two effects of a run: the next run ends where the killed one would have.

Each item is a shop with events of its own, in which a run is killed at every crash point; what follows is
compared with a run that nobody disturbed: rows of every table, ledger, totals, the record, and nothing left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from proofs.forms import Proof, form
from proofs.kill_matrix import POINTS


@pytest.mark.parametrize("shop", range(form().times(10, 100)))
def test_the_next_run_ends_where_the_killed_one_would_have(proof: Proof, shop: int, tmp_path: Path) -> None:
    seed = proof.random("kills", shop).randrange(1 << 32)
    command = [sys.executable, str(Path(__file__).with_name("kill_matrix.py")), str(tmp_path), str(seed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["met"]) == POINTS
    assert found["differing"] == {}, done.stderr
    proof.tried("kills, each followed by a run that was compared", found["kills"])
    proof.tried("crash points, each killed at once per shop", len(POINTS))
