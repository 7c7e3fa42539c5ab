"""eventmint: raw shop events in, five answers out, every line accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventmint.lake import Lake, open_lake

__version__ = "0.1.0"
__all__ = ["Lake", "__version__", "open_lake"]


def __getattr__(name: str) -> object:
    # Imported on first use: `import eventmint` and `eventmint --help` stay quick.
    if name in ("Lake", "open_lake"):
        from eventmint import lake

        return getattr(lake, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
