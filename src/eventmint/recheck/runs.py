"""The records of the runs: each column against the report that the record holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from eventmint.engine.parquet import read_rows
from eventmint.recheck.files import TableFiles, subject_of
from eventmint.values import Law


def laws_of_runs(runs: TableFiles) -> Iterator[Law]:
    for file in runs.readable:
        wrong = [told for row in read_rows([file.location]) if (told := _contradiction(row))]
        terms = "records that contradict their report = 0"
        yield Law("values", subject_of(runs.shape, file), terms, len(wrong), 0, "; ".join(wrong[:3]))


def _contradiction(row: dict[str, Any]) -> str:
    try:
        report = dict(json.loads(row["report"]))
    except (ValueError, TypeError) as err:
        return f"run {row['run_id']}: its report is no JSON object: {err}"
    told = {name: report.get(name) for name in ("run_id", "started_at", "seconds", "seq", "laws_hold")}
    held = {name: row[name] for name in told} | {"started_at": row["started_at"].isoformat()}
    wrong = [
        f"{name} is {held[name]}, its report says {told[name]}" for name in told if held[name] != told[name]
    ]
    return f"run {row['run_id']}: {', '.join(wrong)}" if wrong else ""
