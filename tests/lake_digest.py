"""One digest per table of a lake made from a folder of files, to compare lakes that other processes made.

Run as a program: `lake_digest.py SOURCE WORKERS` makes a lake anew and prints its digests.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from deliveries import MADE_TABLES, NOW, Shop, published_rows, rows_of

from eventmint.engine import duckdb_engine
from eventmint.values import EVENT_COLUMNS

# What a row of bronze says, whatever file it came in.
SAID = (*EVENT_COLUMNS, "extra", "problem", "raw")


def digests_of(shop: Shop) -> dict[str, str]:
    """Return a digest of the rows of every table, as the Parquet files have them and as analysts see them."""
    lake = shop.lake
    said = [[row[name] for name in SAID] for row in rows_of(lake, "bronze.events")]
    published = published_rows(shop)
    return {
        "bronze.events": _digest(sorted(said, key=repr)),
        **{table: _digest(rows_of(lake, table)) for table in MADE_TABLES},
        **{f"{table} (published)": _digest(published[table]) for table in MADE_TABLES},
    }


def _digest(rows: object) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def digests_of_a_new_lake(source: Path, workers: int) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as place:
        shop = Shop(Path(place), {"run__workers": workers})
        report = shop.lake.run(source, now=NOW)
        assert report.laws_hold
        return digests_of(shop)


if __name__ == "__main__":
    duckdb_engine._WORTH_A_PROCESS_BYTES = 0  # each worker is a process, however small the files are
    sys.stdout.write(json.dumps(digests_of_a_new_lake(Path(sys.argv[1]), int(sys.argv[2]))))
