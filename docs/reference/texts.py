"""The little Markdown that the pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPAN = re.compile(r"(`[^`]*`)")
BAR = "\\|"
PAGE = re.compile(r"\bdocs/([\w-]+\.md)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; without rows nothing."""
    lines = [cells(row) for row in rows]
    return "\n".join([cells(head), "|---" * len(head) + "|", *lines, ""]) if lines else ""


def cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(text.split()).replace('|', BAR) for text in texts)} |"


def code(text: object) -> str:
    """Return a text as code; nothing of nothing."""
    return f"`{text}`" if text not in ("", None) else ""


def plain(text: str) -> str:
    """Return words of the program as Markdown: its signs are signs, a page that they name is a link."""
    pieces = SPAN.split(text)
    pieces[::2] = [piece.replace("*", "\\*").replace("<", "&lt;") for piece in pieces[::2]]
    return PAGE.sub(r"[docs/\1](../\1)", "".join(pieces))


def sentence(text: str) -> str:
    """Return a text that begins and ends like a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
