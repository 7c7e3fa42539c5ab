"""Rows as a small HTML table: what a notebook shows of an Arrow table. Values from data are shown as text."""

from __future__ import annotations

import html
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from eventmint.serve.formats import cell_text, is_number, rows_of, share
from eventmint.serve.streams import plain

_CELL = "padding:2px 14px 2px 0"
_NUMBER = f"{_CELL};text-align:right;font-variant-numeric:tabular-nums"


@dataclass(frozen=True)
class HtmlTable:
    """The first rows of a table, and how many there are."""

    rows: pa.Table
    limit: int = 10

    def _repr_html_(self) -> str:
        """Return the table; notebooks ask for it by this name."""
        table = self.rows.slice(0, self.limit)
        styles = [_NUMBER if is_number(field.type) else f"{_CELL};text-align:left" for field in table.schema]
        head = _row("th", table.column_names, styles)
        body = "".join(
            _row(
                "td",
                [_told(name, value) for name, value in zip(table.column_names, row, strict=True)],
                styles,
            )
            for row in rows_of(table)
        )
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{html.escape(repr(self))}</p>"

    def __repr__(self) -> str:
        shown, count = min(self.limit, self.rows.num_rows), self.rows.num_rows
        return (
            f"{shown:,} of {count:,} rows" if shown < count else f"{count:,} row{'' if count == 1 else 's'}"
        )


def _row(tag: str, cells: list[str], styles: list[str]) -> str:
    made = (
        f'<{tag} style="{style}">{html.escape(plain(cell))}</{tag}>'
        for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{''.join(made)}</tr>"


def _told(name: str, value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, float) and name.endswith("_rate"):
        return share(value, 1)
    if isinstance(value, int) and not isinstance(value, bool) and name not in ("rank", "event_hour"):
        return f"{value:,}"
    return cell_text(value, null="-")
