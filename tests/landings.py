"""One file landed the way a run does it, what the ledger says of it, and what the oracle expects.

Run as a program, it lands one file in a process of its own and tells what that took.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hostile
import oracle
import pyarrow.parquet as pq

from eventmint.bronze.land import Landed, Landing
from eventmint.landing import land_one
from eventmint.values import EventRules, LedgerEntry

RULES = EventRules()
LATEST_US = oracle.microseconds(hostile.NOW) + 86_400_000_000
KEPT_BYTES = 4_096  # of a line that is too long
VALUES = ("event_time", *oracle.FIELDS[1:])
Row = tuple[object, ...]


def landing_of(path: Path, staging: Path) -> Landing:
    """Return what a run knows of a file before it is landed."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    entry = LedgerEntry(
        path=str(path),
        version="1-1",
        size_bytes=path.stat().st_size,
        sha256=sha256,
        received_at=hostile.NOW,
        status="landing",
        batch="cd" * 32,
        seq=1,
    )
    return Landing(entry, str(path), str(staging), RULES, LATEST_US)


def land_bytes(compressed: bytes, folder: Path) -> Landed:
    """Land a file with these bytes. Nothing stays in the staging folder but what the outcome names."""
    staging = folder / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    path = folder / "events.jsonl.gz"
    path.write_bytes(compressed)
    landed = land_one(landing_of(path, staging))
    named = [landed.parquet] if landed.parquet else []
    assert [str(left) for left in staging.iterdir()] == named, (landed.entry.status, landed.entry.reason)
    return landed


# --- Rows ------------------------------------------------------------------------------------------------


def rows_found(landed: Landed) -> Counter[Row]:
    """Return the rows of the Parquet file, valid and quarantined told apart."""
    rows: Counter[Row] = Counter()
    if landed.parquet is None:
        return rows
    table = pq.read_table(landed.parquet)
    times = table["event_time"].cast("int64").to_pylist()
    names = ("problem", "line_number", "raw", "extra", *VALUES[1:])
    columns = (table[name].to_pylist() for name in names)
    for time_us, problem, number, raw, extra, *values in zip(times, *columns, strict=True):
        if problem is None:
            assert (number, raw) == (None, None), (number, raw)
            rows["valid", time_us, *values, extra] += 1
        else:
            assert time_us is None, (number, raw)
            assert set(values) == {None}, (number, raw)
            rows["quarantined", problem, number, raw, extra] += 1
    return rows


def with_canonical_extra(rows: Counter[Row]) -> Counter[Row]:
    """Return the same rows, unknown fields in the one text that all equal ones have."""
    canonical: Counter[Row] = Counter()
    for row, count in rows.items():
        extra = row[-1]
        if row[0] == "valid" and isinstance(extra, str):
            canonical[*row[:-1], oracle.canonical_json(oracle.parse_json(extra))] += count
        else:
            canonical[row] += count
    return canonical


def quarantined_row(line: bytes, problem: str, number: int) -> Row:
    if problem != "line_too_long":
        return ("quarantined", problem, number, line, None)
    kept = json.dumps({"raw_bytes": len(line), "raw_sha256": hashlib.sha256(line).hexdigest()})
    return ("quarantined", problem, number, line[:KEPT_BYTES], kept)


def rows_expected(lines: Sequence[bytes], verdicts: Sequence[oracle.OracleVerdict]) -> Counter[Row]:
    rows: Counter[Row] = Counter()
    for number, (line, verdict) in enumerate(zip(lines, verdicts, strict=True), 1):
        if verdict.values is not None:
            extra = verdict.values["extra"]
            values = (verdict.values[field] for field in oracle.FIELDS)
            rows["valid", *values, None if extra is None else oracle.canonical_json(extra)] += 1
        elif verdict.problem is not None:
            rows[quarantined_row(line, verdict.problem, number)] += 1
    return rows


def assert_landed_as_the_oracle_says(landed: Landed, text: bytes, case: object = "") -> None:
    """Compare the ledger's counts and every row with what the oracle says of the decompressed file."""
    lines = oracle.split_lines(text)
    verdicts = [oracle.judge(line, now=hostile.NOW) for line in lines]
    entry = landed.entry
    assert (entry.status, entry.reason, entry.lines) == ("landed", None, len(lines)), (case, entry)
    assert entry.blank == sum(verdict.blank for verdict in verdicts), (case, entry)
    assert entry.valid == sum(verdict.values is not None for verdict in verdicts), (case, entry)
    assert entry.quarantined == entry.lines - entry.blank - entry.valid, (case, entry)
    assert landed.reasons == Counter(r for verdict in verdicts for r in verdict.reasons), (case, entry)
    assert_same_rows(with_canonical_extra(rows_found(landed)), rows_expected(lines, verdicts), case)


def assert_same_rows(found: Counter[Row], expected: Counter[Row], case: object = "") -> None:
    surplus, missing = _shown(found - expected), _shown(expected - found)
    assert not surplus, f"{case}: rows that nobody expects: {surplus}, instead of: {missing}"
    assert not missing, f"{case}: rows that are not there: {missing}"


def _shown(rows: Counter[Row]) -> list[str]:
    return sorted(str(row)[:400] for row in rows.elements())[:5]


# --- In a process of its own -----------------------------------------------------------------------------


def peak_mebibytes() -> int:
    """Return the most memory this process ever had.

    Linux counts what a process had before it became another program too, hence its own figure first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) >> 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 20 if sys.platform == "darwin" else peak >> 10


def cost_of_landing(path: Path) -> dict[str, Any]:
    """Land a file and return the outcome, the processor's seconds and the memory it took."""
    imported = peak_mebibytes()
    with tempfile.TemporaryDirectory() as staging:
        landing = landing_of(path, Path(staging))
        started = time.process_time()
        landed = land_one(landing)
        seconds = time.process_time() - started
        left = [place.name for place in Path(staging).iterdir()]
    return {
        "status": landed.entry.status,
        "reason": landed.entry.reason,
        "counts": [landed.entry.lines, landed.entry.blank, landed.entry.valid, landed.entry.quarantined],
        "reasons": landed.reasons,
        "is_clean": left == ([Path(landed.parquet).name] if landed.parquet else []),
        "seconds": seconds,
        "mebibytes": peak_mebibytes(),
        "mebibytes_imported": imported,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(cost_of_landing(Path(sys.argv[1]))))
