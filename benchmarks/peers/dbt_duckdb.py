"""dbt on DuckDB: `dbt run` over the project in `dbt/`.

Usage: dbt_duckdb.py SOURCE_FOLDER OUTPUT_FOLDER
"""

import os
import sys
from pathlib import Path

from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).with_name("dbt")


def main(source: str, out: str) -> None:
    for layer in ("bronze", "silver", "gold"):
        Path(out, layer).mkdir(parents=True, exist_ok=True)
    os.environ |= {"SHOP_SOURCE": source, "SHOP_OUT": out}
    places = ["--target-path", f"{out}/target", "--log-path", f"{out}/logs"]
    outcome = dbtRunner().invoke(
        ["run", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), *places]
    )
    if not outcome.success:
        messages = [outcome.exception, *(node.message for node in getattr(outcome.result, "results", ()))]
        raise SystemExit("; ".join(" ".join(str(told).split()) for told in messages if told))


if __name__ == "__main__":
    main(*sys.argv[1:])
