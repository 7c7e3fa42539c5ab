"""Differences: what a table holds against what it should hold, row by row, every column by value.

Rows are compared as multisets: a row too many is as much a difference as one that is missing or another.
"""

# ruff: noqa: S608 - statements are composed of the contract's own column names; no value from data is in them
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventmint.contracts import Contract
from eventmint.engine.protocol import Session

# So many rows of a difference are fetched to be told, and so many are told of each file.
_FETCHED = 200
_TOLD = 3

Row = Mapping[str, Any]


@dataclass
class Difference:
    """How the rows of one file differ from those it should have.

    Attributes:
        count: rows that are missing, too many or altered (an altered row counts twice: it is one that should
            not be there, and one that is missing).
        surplus, lacking: the first of them.
    """

    count: int = 0
    surplus: list[Row] = field(default_factory=list)
    lacking: list[Row] = field(default_factory=list)

    def swapped(self) -> Difference:
        """The same, where it is the other side that is right."""
        return Difference(self.count, self.lacking, self.surplus)

    def __str__(self) -> str:
        lacking = list(self.lacking)
        told = []
        for there in self.surplus[:_TOLD]:
            twin = min(lacking, key=lambda row: len(_unequal(there, row)), default=None)
            if twin is None or len(_unequal(there, twin)) > len(there) // 2:
                told.append(f"there is {_text(there)}, which should not be")
            else:
                lacking.remove(twin)
                told.append(_altered(there, twin))
        told += [f"there should be {_text(row)}" for row in lacking[: _TOLD - len(told)]]
        return "; ".join(told)


def compare(session: Session, shape: Contract, made: str, held: str) -> dict[str | None, Difference]:
    """Compare two relations of a session.

    Args:
        made: what should be there.
        held: what is there, with `_location`.
    Returns: differences by file; under None the rows that are missing, where no file can be told.
    """
    # Numbers that are equal may differ in their bits (0.0 and -0.0); their texts do not.
    columns = ", ".join(
        f"CAST({column.name} AS STRING) AS {column.name}" if column.type == "double" else column.name
        for column in shape.columns
    )
    names = ", ".join(shape.column_names)
    session.table(
        "differing",
        f"SELECT {names}, SUM(n) AS n, MAX(_location) AS _location FROM ("
        f"SELECT {columns}, 1 AS n, CAST(NULL AS STRING) AS _location FROM {made} "
        f"UNION ALL SELECT {columns}, -1 AS n, _location FROM {held}"
        f") AS sides GROUP BY {names} HAVING SUM(n) <> 0",
    )
    found: dict[str | None, Difference] = defaultdict(Difference)
    counts = session.rows("SELECT _location, SUM(ABS(n)) AS n FROM differing GROUP BY _location")
    for row in counts:
        found[row["_location"]].count = int(row["n"])
    for row in _fetched(session, shape) if counts else []:
        _add(found[row.pop("_location")], row, int(row.pop("n")))
    return found


def _fetched(session: Session, shape: Contract) -> list[dict[str, Any]]:
    """Some rows that differ; with times as text where damage has made one that no calendar knows."""
    rest = f"FROM differing ORDER BY {', '.join(shape.column_names)} LIMIT {_FETCHED}"
    try:
        return session.rows(f"SELECT * {rest}")
    except (OverflowError, ValueError):
        times = {column.name for column in shape.columns if column.type in ("date", "timestamptz")}
        columns = (f"CAST({n} AS STRING) AS {n}" if n in times else n for n in shape.column_names)
        return session.rows(f"SELECT {', '.join(columns)}, n, _location {rest}")


def compare_rows(made: Iterable[Row], held: Iterable[tuple[str, Row]]) -> dict[str | None, Difference]:
    """Compare rows that are known to be few; see `compare`.

    Args:
        held: each with the location of its file.
    """
    counts: Counter[tuple[tuple[str, Any], ...]] = Counter(tuple(row.items()) for row in made)
    places: dict[tuple[tuple[str, Any], ...], str] = {}
    for location, row in held:
        counts[tuple(row.items())] -= 1
        places[tuple(row.items())] = location
    found: dict[str | None, Difference] = defaultdict(Difference)
    for items, n in counts.items():
        if n:
            one = found[places.get(items)]
            one.count += abs(n)
            _add(one, dict(items), n)
    return found


def placed(
    found: dict[str | None, Difference], files: Iterable[str], altered: Collection[str]
) -> dict[str | None, Difference]:
    """Return the differences with the missing rows under the file that lacks them, where that is certain.

    Args:
        files: those in which missing rows can have been.
        altered: files that are known not to be what was written.
    """
    lacking = found.pop(None, None)
    if lacking is None:
        return found
    candidates = set(files)
    suspects = {location for location in found if location} | (candidates & set(altered)) or candidates
    one = found[suspects.pop() if len(suspects) == 1 else None]
    one.count += lacking.count
    one.lacking += lacking.lacking
    return found


def _add(difference: Difference, row: Row, n: int) -> None:
    (difference.lacking if n > 0 else difference.surplus).append(row)


def _unequal(one: Row, other: Row) -> list[str]:
    return [name for name in one if one[name] != other[name] or type(one[name]) is not type(other[name])]


def _altered(there: Row, wanted: Row) -> str:
    unequal = _unequal(there, wanted)
    changes = ", ".join(
        f"{name} is {_value(there[name])}, should be {_value(wanted[name])}" for name in unequal
    )
    where = _text({name: value for name, value in wanted.items() if name not in unequal})
    return f"{changes} in {where}"


def _text(row: Row) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in row.items() if value is not None)


def _value(value: object) -> str:
    return repr(value) if isinstance(value, str | bytes) else str(value)
