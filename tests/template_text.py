"""The committed CloudFormation template, parsed: its intrinsic functions in their long form."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import decode  # type: ignore[import-untyped]

TEMPLATE = Path(__file__).resolve().parent.parent / "capstone-starter.cfn.yaml"


@cache
def parsed() -> dict[str, Any]:
    template, problems = decode(str(TEMPLATE))
    assert not problems
    assert template is not None
    return dict(template)
