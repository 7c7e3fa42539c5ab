"""Answers in one canonical form, so that two candidates can be held against each other and against the truth.

The five tables as whoever wrote them left them: columns by name, in the order of the contract; rows sorted.
Whole numbers are equal whatever their width, money only to its last decimal and never as a float, rates bit
for bit. Nothing is rounded and nothing is forgiven.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from eventmint.config import load_settings
from eventmint.contracts import ANSWERS, contract
from eventmint.lake import Lake

Row = tuple[str, ...]
Answers = dict[str, list[Row]]
RATES = {
    "view_to_cart_rate": ("add_to_carts", "views"),
    "cart_to_purchase_rate": ("purchases", "add_to_carts"),
    "view_to_purchase_rate": ("purchases", "views"),
}
WHOLE, MONEY = ("int", "long"), "decimal"


class Unreadable(ValueError):
    """What should be a table of answers cannot be read as one."""


def answers_of_lake(home: Path) -> Answers:
    """Return the answers that eventmint gives, through its Python API."""
    lake = Lake(load_settings(home=home))
    return {name: canonical(name, lake.answer(name).to_pylist()) for name in ANSWERS}


def answers_of_folder(gold: Path) -> Answers:
    """Return the answers of somebody who left `gold/<answer>.parquet`, or a folder of that name.

    Raises: Unreadable: a table or a column is missing, or a value has the wrong type.
    """
    return {name: canonical(name, _rows_of(gold, name)) for name in ANSWERS}


def answers_of_truth(file: Path) -> Answers:
    """Return what the generator knows to be right, with the rates that follow from its counts."""
    truth = json.loads(file.read_text(encoding="utf-8"))["answers"]
    return {name: canonical(name, map(_completed, truth[name])) for name in ANSWERS}


def canonical(name: str, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    columns = contract(f"gold.{name}").columns
    try:
        return sorted(tuple(_text(row[c.name], c.type) for c in columns) for row in rows)
    except KeyError as err:
        raise Unreadable(f"{name}: there is no column {err}") from err
    except Unreadable as err:
        raise Unreadable(f"{name}: {err}") from err


def difference(expected: Answers, found: Answers) -> str | None:
    """Return the first table that differs, how many rows do, and one of them; None where all is equal."""
    for name in ANSWERS:
        missing, surplus = Counter(expected[name]), Counter(found[name])
        missing, surplus = missing - surplus, surplus - missing
        if missing or surplus:
            example = next(iter(sorted(surplus) or sorted(missing)))
            counts = f"{missing.total()} rows missing, {surplus.total()} not expected"
            return f"{name}: {counts}, for example {', '.join(example)}"
    return None


def _text(value: Any, kind: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        value = value.decode()
    if kind == "date":
        return date.fromisoformat(str(value)).isoformat()
    if kind in WHOLE:
        return str(_whole(value))
    if kind.startswith(MONEY):
        return _money(value)
    if kind == "double":
        return float(value).hex()
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool | float) or int(value) != value:
        raise Unreadable(f"{value!r} should be a whole number")
    return int(value)


def _money(value: Any) -> str:
    if not isinstance(value, Decimal | int | str):
        raise Unreadable(f"{value!r} should be a decimal, it is a {type(value).__name__}")
    return f"{Decimal(value).quantize(Decimal('0.000001'))}"


def _completed(row: Mapping[str, Any]) -> dict[str, Any]:
    if "views" not in row:
        return dict(row)
    rates = {name: row[over] / row[under] if row[under] else None for name, (over, under) in RATES.items()}
    return {**row, **rates}


def _rows_of(gold: Path, name: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    files = [*gold.glob(f"{name}.parquet"), *gold.glob(f"{name}/**/*.parquet")]
    files = [file for file in files if file.is_file()]
    if not files:
        raise Unreadable(f"{name}: no Parquet file")
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
