"""Draw the diagrams: each `*.toml` here becomes the SVG of the same name.

`python docs/diagrams/draw.py` writes them; with `--check` it fails when one is not what it would write.
Only the standard library is used, and nothing depends on fonts, time or machine: the same text gives the
same picture.

A picture is a grid of `columns` and `rows`. A box has a place in it and covers one cell, or more. Arrows are
straight: their boxes share a row or a column.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
CELL_WIDTH, CELL_HEIGHT = 192, 92
GAP_X, GAP_Y = 46, 30
MARGIN = 20
LINE_HEIGHT = 16
# What a box is, by its fill and its border.
KINDS = {
    "outside": ("#f3f4f6", "#9ca3af"),
    "bronze": ("#fdf1e3", "#b7793a"),
    "silver": ("#eef1f5", "#6b7f99"),
    "gold": ("#fdf8dd", "#b8972a"),
    "ops": ("#ecf6ef", "#4d9465"),
    "compute": ("#eef0fd", "#5b67c9"),
}
HEAD = """\
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="#4b5563"/></marker></defs>"""
STYLE = """\
text { font: 12px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; fill: #1f2937 }
.title { font-weight: 600; font-size: 13px }
.small { font-size: 11px; fill: #4b5563 }
.arrow { fill: none; stroke: #4b5563; stroke-width: 1.5; marker-end: url(#head) }
.quiet { stroke-dasharray: 4 3 }"""


@dataclass(frozen=True)
class Box:
    """A box of the grid; `across` and `down` are how many cells it covers."""

    name: str
    at: tuple[int, int]
    title: str
    kind: str
    lines: Sequence[str] = ()
    across: int = 1
    down: int = 1

    @property
    def left(self) -> int:
        return MARGIN + self.at[0] * (CELL_WIDTH + GAP_X)

    @property
    def top(self) -> int:
        return MARGIN + self.at[1] * (CELL_HEIGHT + GAP_Y)

    @property
    def width(self) -> int:
        return self.across * CELL_WIDTH + (self.across - 1) * GAP_X

    @property
    def height(self) -> int:
        return self.down * CELL_HEIGHT + (self.down - 1) * GAP_Y

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def middle(self) -> tuple[int, int]:
        return self.left + self.width // 2, self.top + self.height // 2


@dataclass(frozen=True)
class Picture:
    """What a text says is to be drawn."""

    title: str
    size: tuple[int, int]
    boxes: dict[str, Box]
    arrows: Sequence[dict[str, str]]


def read(text: str) -> Picture:
    tree = tomllib.loads(text)
    boxes = {
        name: Box(name=name, **{**body, "at": tuple(body["at"])}) for name, body in tree["boxes"].items()
    }
    return Picture(tree["title"], (tree["columns"], tree["rows"]), boxes, tree["arrows"])


def svg(picture: Picture) -> str:
    """Return the picture as the text of an SVG file."""
    columns, rows = picture.size
    width = 2 * MARGIN + columns * CELL_WIDTH + (columns - 1) * GAP_X
    height = 2 * MARGIN + rows * CELL_HEIGHT + (rows - 1) * GAP_Y
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(picture.title)}">'
    )
    parts = [
        head,
        f"<title>{escape(picture.title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        HEAD,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(part for arrow in picture.arrows for part in _arrow(picture, arrow)),
        *(part for box in picture.boxes.values() for part in _box(box)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(box: Box) -> Iterator[str]:
    fill, border = KINDS[box.kind]
    yield (
        f'<rect x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}" rx="6" '
        f'fill="{fill}" stroke="{border}"/>'
    )
    x, middle = box.middle
    first = middle - len(box.lines) * LINE_HEIGHT // 2 + 4
    yield f'<text class="title" x="{x}" y="{first}" text-anchor="middle">{escape(box.title)}</text>'
    for number, line in enumerate(box.lines, start=1):
        y = first + number * LINE_HEIGHT
        yield f'<text class="small" x="{x}" y="{y}" text-anchor="middle">{escape(line)}</text>'


def _arrow(picture: Picture, arrow: dict[str, str]) -> Iterator[str]:
    (x1, y1), (x2, y2) = _ends(picture.boxes[arrow["from"]], picture.boxes[arrow["to"]])
    look = "arrow quiet" if arrow.get("quiet") else "arrow"
    yield f'<path class="{look}" d="M{x1} {y1} L{x2} {y2}"/>'
    if says := arrow.get("says"):
        # Beside a line that goes down, above one that goes along.
        x, y, anchor = (
            (x1 + 6, (y1 + y2) // 2 + 4, "start") if x1 == x2 else ((x1 + x2) // 2, y1 - 5, "middle")
        )
        yield f'<text class="small" x="{x}" y="{y}" text-anchor="{anchor}">{escape(says)}</text>'


def _ends(start: Box, end: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where an arrow leaves its box and where it arrives: in the middle of the smaller one.

    Raises: ValueError: the boxes share neither a row nor a column.
    """
    (x1, y1), (x2, y2) = start.middle, end.middle
    if start.top < end.top + end.height and end.top < start.top + start.height:
        y = y2 if end.height <= start.height else y1
        return ((start.right, y), (end.left, y)) if x1 < x2 else ((start.left, y), (end.right, y))
    if start.left < end.right and end.left < start.right:
        x = x2 if end.width <= start.width else x1
        return ((x, start.bottom), (x, end.top)) if y1 < y2 else ((x, start.top), (x, end.bottom))
    raise ValueError(f"{start.name} and {end.name} share neither a row nor a column")


def main(arguments: Sequence[str]) -> int:
    stale = []
    for source in sorted(HERE.glob("*.toml")):
        target, drawn = source.with_suffix(".svg"), svg(read(source.read_text(encoding="utf-8")))
        if target.exists() and target.read_text(encoding="utf-8") == drawn:
            continue
        stale.append(target.name)
        if "--check" not in arguments:
            target.write_text(drawn, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"stale: {', '.join(stale)}. Run `python docs/diagrams/draw.py`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
