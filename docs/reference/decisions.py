"""The list of decisions, from the pages of docs/adr."""

from __future__ import annotations

from pathlib import Path

from texts import table

ADR = Path(__file__).resolve().parent.parent / "adr"
INTRODUCTION = """\
# Decisions

Why it is so and not otherwise: one page for each decision that had an alternative, with what was rejected.
"""


def page() -> str:
    pages = sorted(ADR.glob("[0-9]*.md"))
    rows = [(str(int(file.name[:4])), f"[{title(file)}]({file.name})") for file in pages]
    return f"{INTRODUCTION}\n{table(['', 'decision'], rows)}"


def title(file: Path) -> str:
    """Return the heading of a decision without its number."""
    head = file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return head.partition(". ")[2] or head.partition(": ")[2] or head
