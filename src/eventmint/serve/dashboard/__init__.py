"""The dashboard: the pages live over HTTP, and an API of the same answers. Read-only."""

from __future__ import annotations

from importlib.util import find_spec

from eventmint.errors import FixSettings


def require_http() -> None:
    """Raises: FixSettings: what speaks HTTP is not installed."""
    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise FixSettings(
                f"{name} is not installed, and the dashboard needs it.",
                "Install it with `pip install 'eventmint[pages]'`.",
            )
