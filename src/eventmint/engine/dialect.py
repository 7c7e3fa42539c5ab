"""Spark's text of every model: generated from `model.sql` when we build, committed beside it, never edited.

    python -m eventmint.engine.dialect            writes each model.spark.sql
    python -m eventmint.engine.dialect --check    says which of them are not current

The translator changes the meaning of some functions without a word (exact percentiles become approximate, a
list loses its order, a cast truncates where another rounds). So a model may only use what is known to mean
the same on both engines; anything else is refused here. Needs sqlglot, which no run does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sqlglot import exp, parse_one

from eventmint.contracts import MODEL_FILES, all_contracts

_MODELS = Path(__file__).parents[1]
_HEAD = "-- Generated from model.sql by `python -m eventmint.engine.dialect`. Do not edit.\n"
_STRUCTURE = (
    exp.Alias, exp.Column, exp.CTE, exp.Distinct, exp.From, exp.Group, exp.Having, exp.Identifier, exp.Join,
    exp.Limit, exp.Literal, exp.Null, exp.Order, exp.Ordered, exp.Select, exp.Star, exp.Subquery, exp.Table,
    exp.TableAlias, exp.Union, exp.Where, exp.With,
)  # fmt: skip
_CONDITIONS = (
    exp.And, exp.Between, exp.EQ, exp.Exists, exp.GT, exp.GTE, exp.In, exp.Is, exp.LT, exp.LTE, exp.NEQ,
    exp.Not, exp.Or, exp.Paren,
)  # fmt: skip
_VALUES = (
    exp.Add, exp.Case, exp.Cast, exp.Coalesce, exp.Count, exp.DataType, exp.DataTypeParam, exp.Div,
    exp.Extract, exp.If, exp.Max, exp.Min, exp.Mul, exp.Neg, exp.Nullif, exp.RowNumber, exp.Sub, exp.Sum,
    exp.Var, exp.Window,
)  # fmt: skip
_ALLOWED = frozenset({*_STRUCTURE, *_CONDITIONS, *_VALUES})
_CASTS = frozenset({"BIGINT", "DATE", "DECIMAL", "DOUBLE", "INT"})
_WHOLE = frozenset({"BIGINT", "INT"})


def to_spark(sql: str) -> str:
    """Return a model in Spark's words. Raises: ValueError: it uses what does not translate faithfully."""
    wrong = list(untranslatable(sql))
    if wrong:
        raise ValueError(f"not in the portable subset: {', '.join(wrong)}")
    return f"{_HEAD}{parse_one(sql, read='duckdb').sql(dialect='spark', pretty=True)}\n"


def untranslatable(sql: str) -> Iterator[str]:
    """Yield each part of a SELECT that may mean something else on another engine."""
    for node in parse_one(sql, read="duckdb").walk():
        if type(node) not in _ALLOWED:
            yield f"{type(node).__name__}: {node.sql(dialect='duckdb')}"
        elif _differs(node):
            yield node.sql(dialect="duckdb")


def _differs(node: exp.Expr) -> bool:
    """Whether an allowed kind of node is used in a way that is not portable."""
    match node:
        case exp.Cast():
            # DuckDB rounds a fraction to a whole number, Spark cuts it off.
            return _cast(node) not in _CASTS or (_cast(node) in _WHOLE and _has_fraction(node.this))
        case exp.Div():
            return _cast(node.left) != "DOUBLE"
        case exp.Extract():
            return node.name.upper() != "HOUR"
        case exp.Window():
            return not isinstance(node.this, exp.RowNumber) or not node.args.get("order")
        case exp.Group():
            return not node.expressions or any(isinstance(item, exp.Literal) for item in node.expressions)
        case exp.Select():
            # IN and EXISTS have no place in a SELECT list of Spark.
            return any(item.find(exp.Exists, exp.In, exp.Subquery) is not None for item in node.expressions)
    return False


def _cast(node: exp.Expr) -> str:
    return node.to.this.name if isinstance(node, exp.Cast) else ""


def _has_fraction(node: exp.Expr) -> bool:
    literals = (literal for literal in node.find_all(exp.Literal) if not literal.is_string)
    casts = (_cast(cast) for cast in node.find_all(exp.Cast))
    return (
        node.find(exp.Div) is not None
        or any(not literal.is_int for literal in literals)
        or not _WHOLE.union({""}).issuperset(casts)
    )


def stale() -> dict[Path, str]:
    """Return every Spark model that is not what its `model.sql` makes, with what it should be."""
    made = {}
    for shape in all_contracts():
        folder = _MODELS / shape.schema / "models" / shape.name
        if (folder / MODEL_FILES["duckdb"]).exists():
            path = folder / MODEL_FILES["spark"]
            text = to_spark((folder / MODEL_FILES["duckdb"]).read_text(encoding="utf-8"))
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                made[path] = text
    return made


def main(arguments: list[str]) -> int:
    found = stale()
    for path, text in found.items():
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(_MODELS)}: {'stale' if '--check' in arguments else 'written'}\n")
    return 1 if found and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
