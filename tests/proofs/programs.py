"""Programs that fork, started from a proof: pytest's own process has threads and must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def outcome_of(program: str, *arguments: object) -> dict[str, Any]:
    """Run a program of this folder, and return the JSON that it prints."""
    command = [sys.executable, "-m", f"proofs.{program}", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    found["stderr"] = done.stderr
    return found
