"""The page of the tables, from their contracts."""

from __future__ import annotations

from collections.abc import Iterator

from texts import code, plain, sentence, table

from eventmint.contracts import ANSWERS, TABLES, Column, Contract, all_contracts

INTRODUCTION = """\
# Tables

Apache Iceberg, format 2, Parquet with zstd. The databases are `bronze`, `silver`, `gold` and `ops`, on AWS
with the deployment's id behind an underscore (`gold_ana`). Moments and days are UTC; money is decimal.
`analytics.duckdb` holds the tables with these texts as comments. What may change in a new version:
[contracts](../contract.md).
"""
LAYERS = {
    "bronze": "Every line that arrived, good or bad.",
    "silver": "Every true event once.",
    "gold": "The five answers, and the building blocks that they are made from.",
    "ops": "What runs did.",
}


def page() -> str:
    overview = [
        (f"[`{shape.table}`](#{shape.table.replace('.', '')})", shape.grain, code(shape.partition) or "none")
        for shape in all_contracts()
    ]
    parts = [INTRODUCTION, table(["table", "holds", "partition"], overview)]
    for layer in TABLES:
        parts.append(f"## {layer}\n\n{LAYERS[layer]}\n")
        for shape in all_contracts():
            if shape.schema == layer:
                parts += section(shape)
    return "\n".join(part for part in parts if part)


def section(shape: Contract) -> Iterator[str]:
    answer = " One of the five answers." if shape.table.startswith("gold.") and shape.name in ANSWERS else ""
    yield f"### {shape.table}\n"
    yield f"{sentence(shape.grain)} {plain(sentence(shape.doc))}{answer}\n"
    yield f"{' '.join(layout(shape))}\n"
    yield table(["column", "type", "means", "unit", "example"], map(row, shape.columns))


def layout(shape: Contract) -> Iterator[str]:
    """Yield how its files lie, which is what a query can spare."""
    yield f"Partition: {code(shape.partition)}." if shape.partition else "Not partitioned."
    if shape.bounds:
        yield f"Each file tells the smallest and largest {', '.join(map(code, shape.bounds))}."
    if shape.lookup:
        yield f"Bloom filters tell which {code(shape.lookup)} a row group may have."


def row(column: Column) -> tuple[str, ...]:
    kind = f"{code(column.type)}{'' if column.required else ' or NULL'}"
    return code(column.name), kind, plain(column.doc), column.unit, code(column.example)
