"""9. What safety costs: checksums, verdicts, ledger, commits and laws, as far as they can be taken apart.

Parts are measured in this process, one after another: CPU seconds per million lines. What a part costs inside
the whole is a difference of two figures, and is called one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb
from isal import isal_zlib

from benchmarks.data import data_set, link
from benchmarks.deliveries import StageClock, cpu_seconds, open_home
from benchmarks.peers.duckdb_script import BRONZE
from benchmarks.report import Section, counted
from benchmarks.sitting import Sitting
from benchmarks.staged import STAGES
from eventmint.sources.gunzip import VerifiedGzip, sha256_of

# The generator writes plain headers, without a name or a comment.
GZIP_HEADER_BYTES = 10
FEW_LINES = 10
STAGE_NAMES = {
    "bronze": "bronze: hash, inflate, verify, judge, write, ledger, commit",
    "silver": "silver: find duplicates, write, commit",
    "gold": "gold: three building blocks and five answers, eight commits",
    "rest": "rest: listing, laws, run record, analytics.duckdb",
}
ONE_WORKER = {"run.workers": 1}


def run(sitting: Sitting) -> Section:
    sizes, data = sitting.sizes, sitting.clean
    million = sizes.events / 1e6
    section = Section(f"9. What safety costs: one file of {sizes.events:,} lines")
    rounds = [one_round(sitting, data.source, data.files[0]) for _ in range(sizes.rounds)]
    middle = {name: median(found[name] for found in rounds) for name in rounds[0]}
    per_million = {name: value / million for name, value in middle.items()}
    whole = per_million["run"]
    stages = {
        **{stage: per_million[stage] for stage in STAGES},
        "rest": whole - sum(per_million[s] for s in STAGES),
    }
    section.say(f"CPU seconds per million lines, {counted(sizes.rounds, 'round')}, medians.")
    section.table(
        ["part of the run", "CPU s per M", "of the run"],
        [
            ["the whole run of one file", f"{whole:.2f}", "100%"],
            *([STAGE_NAMES[name], f"{value:.2f}", f"{value / whole:.0%}"] for name, value in stages.items()),
        ],
    )
    differences = {
        "SHA-256 of the compressed file": per_million["sha256"],
        "inflating with checksum and length verified": per_million["verified"],
        "inflating without": per_million["unchecked"],
        "difference: verification": per_million["verified"] - per_million["unchecked"],
        "DuckDB: read_json to Parquet, nothing checked": per_million["strict"],
        "difference: our bronze (own inflation, verdicts, quarantine, ledger, commit)": stages["bronze"]
        - per_million["strict"],
    }
    section.table(
        ["what is in it", "CPU s per M", "of the run"],
        [[name, f"{value:.2f}", f"{value / whole:.0%}"] for name, value in differences.items()],
    )
    section.say(
        f"Whatever its size, a run costs {middle['few']:.2f} CPU seconds: so much takes one over "
        f"{FEW_LINES} lines in the same lake, with its commits to every table, its ledger, its laws and "
        "the published database, process start excluded. The bare DuckDB script, which does none of "
        "this, is in the table of the backlog."
    )
    return section


def one_round(sitting: Sitting, source: Path, file: Path) -> dict[str, float]:
    """Return the CPU seconds of the whole run, of its stages and of each part done alone."""
    few = data_set(sitting.shelf, 2, FEW_LINES, truth=False)
    clock = StageClock()
    with sitting.fresh("safety") as home:
        link(file, source, home / "data")
        lake = open_home(home, clock, **ONE_WORKER)
        found = {"run": cpu_of(lake.run)}
        found |= {stage: clock.cpu.get(stage, 0.0) for stage in STAGES}
        # The second file of the small set: the first has the large one's name.
        link(few.files[1], few.source, home / "data")
        found["few"] = cpu_of(lake.run)
        found["sha256"] = cpu_of(lambda: sha256_of(file))
        found["verified"] = cpu_of(lambda: sum(map(len, VerifiedGzip(file))))
        found["unchecked"] = cpu_of(lambda: inflate_unchecked(file))
        found["strict"] = cpu_of(lambda: read_strictly(file.parent, home))
    return found


def cpu_of(act: Callable[[], object]) -> float:
    before = cpu_seconds()
    act()
    return cpu_seconds() - before


def inflate_unchecked(file: Path) -> int:
    inflater = isal_zlib.decompressobj(wbits=-15)
    size = 0
    with file.open("rb") as stream:
        stream.seek(GZIP_HEADER_BYTES)
        while chunk := stream.read(1 << 20):
            size += len(inflater.decompress(chunk))
    return size


def read_strictly(folder: Path, out: Path) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(BRONZE.format(source=folder, out=out))
