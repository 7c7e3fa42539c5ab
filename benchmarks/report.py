"""What a benchmark found, as Markdown: the same text in the terminal and in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles


@dataclass
class Section:
    """The part of one workload: paragraphs and tables in the order in which they were added.

    Attributes:
        wrong: what must not be and was found all the same; then no figure of the section counts.
        facts: the figures that goals are held against, by name.
    """

    title: str
    blocks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    def say(self, text: str) -> None:
        self.blocks.append(text)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [list(heads), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
        lines = [
            "| "
            + " | ".join(_aligned(cell, width, column) for column, (cell, width) in enumerate(pairs))
            + " |"
            for pairs in (list(zip(line, widths, strict=True)) for line in cells)
        ]
        ruler = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
        self.blocks.append("\n".join([lines[0], ruler, *lines[1:]]))

    def require(self, expected: str, found: str, who: str) -> None:
        """Note that somebody's verdict is not what it must be."""
        if found != expected:
            self.wrong.append(f"{who}: {found}")

    def text(self) -> str:
        wrong = [f"**WRONG**, so these figures say nothing: {text}" for text in self.wrong]
        return "\n\n".join([f"## {self.title}", *wrong, *self.blocks]) + "\n"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def seconds(value: float) -> str:
    return f"{value:.2f}"


def ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}x" if base else "-"


def counted(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def span(values: Sequence[float]) -> str:
    """Return the smallest and the largest of several rounds."""
    return f"{min(values):.2f}-{max(values):.2f}"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which so many percent lie; with few values, between the largest of them."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]
