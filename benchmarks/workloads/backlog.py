"""1. Backlog: from gzipped files to five answers, everything from nothing, we and the peers in turn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.candidates import CANDIDATES, EQUAL, SPARK, US, Candidate, rotated
from benchmarks.data import DataSet
from benchmarks.report import Section, counted, ratio, seconds, span
from benchmarks.sitting import Sitting
from benchmarks.watch import Measured, middle

ONLY_WE = (
    "What is in our figures and in nobody else's: every gzip member's checksum and length is verified "
    "(DuckDB reads a corrupt file without a word), every line that breaks the contract is kept with all "
    "its reasons and its bytes, a ledger knows what became of every file, each table changes in one "
    "atomic commit that readers see whole or not at all, and the books are balanced at the end of the "
    "run. The peers do none of this: they write plain Parquet over what was there."
)
HEADS = (
    "", "wall s", "min-max", "CPU s per M", "peak MB", "written MB", "kept MB", "wall / ours", "CPU / ours",
    "answers",
)  # fmt: skip


@dataclass
class Found:
    """All rounds of one candidate."""

    measured: list[Measured] = field(default_factory=list)
    kept_mb: float = 0.0
    verdicts: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        """What it did, in a word or two; where rounds differ, each of them."""
        return " / ".join(dict.fromkeys(verdict.partition(" (")[0] for verdict in self.verdicts))

    @property
    def has_answered(self) -> bool:
        return all(not one.trouble for one in self.measured)


def run(sitting: Sitting) -> Section:
    sizes = sitting.sizes
    section = Section(f"1. Backlog: {sizes.files} files of {sizes.events:,} lines")
    section.say(ONLY_WE)
    clean = compete(sitting, sitting.clean, sizes.rounds)
    dirty = compete(sitting, sitting.dirty, sizes.dirty_rounds)
    for title, data, found in (("Clean", sitting.clean, clean), ("0.1 % bad lines", sitting.dirty, dirty)):
        rounds = len(found[US].measured)
        section.say(
            f"{title}: {data.lines:,} lines, {data.truth['totals']['duplicates']:,} delivered before, "
            f"{data.truth['totals']['quarantined']:,} bad; {data.gz_bytes / 1e6:,.1f} MB of gzip; "
            f"{counted(rounds, 'round')}, medians."
        )
        section.table(HEADS, [row(name, one, found[US], data.lines) for name, one in found.items()])
        tell_what_went_otherwise(section, found)
    for name, one in clean.items():
        section.require(EQUAL, one.word, f"{name}, clean data")
    section.require(EQUAL, dirty[US].word, f"{US}, 0.1 % bad lines")
    note_facts(section, clean, dirty)
    ours, theirs = middle(dirty[US].measured), middle(clean[US].measured)
    section.say(
        f"Bad lines cost us {ratio(ours.wall_seconds, theirs.wall_seconds)} of the wall time and "
        f"{ratio(ours.cpu_seconds, theirs.cpu_seconds)} of the CPU of clean data."
    )
    if absent := [f"{c.name} ({c.missing})" for c in CANDIDATES if c.missing]:
        section.say(f"Not run: {'; '.join(absent)}.")
    return section


def note_facts(section: Section, clean: dict[str, Found], dirty: dict[str, Found]) -> None:
    walls = {name: middle(one.measured).wall_seconds for name, one in clean.items() if one.has_answered}
    ours, spark = walls.pop(US), walls.pop(SPARK, None)
    if spark:
        section.facts["backlog.spark"] = spark / ours
    if walls:
        section.facts["backlog.fastest"] = ours / min(walls.values())
    cpu_with, cpu_without = (middle(found[US].measured).cpu_seconds for found in (dirty, clean))
    section.facts["backlog.bad_lines"] = cpu_with / cpu_without


def compete(
    sitting: Sitting, data: DataSet, rounds: int, candidates: tuple[Candidate, ...] | None = None
) -> dict[str, Found]:
    """Let each candidate do the job once a round, in turn, and hold its answers against the truth."""
    candidates = candidates or sitting.candidates
    found: dict[str, Found] = defaultdict(Found, {candidate.name: Found() for candidate in candidates})
    for number in range(rounds):
        for candidate in rotated(candidates, number):
            with sitting.fresh("backlog") as out:
                measured = candidate.run(data.source, out)
                verdict = candidate.verdict(measured, out, data.answers)
                kept = kept_mb(out)
            sitting.tell(
                f"round {number + 1}/{rounds}  {candidate.name}: {measured.wall_seconds:.1f} s, {verdict}"
            )
            one = found[candidate.name]
            one.measured.append(measured)
            one.verdicts.append(verdict)
            one.kept_mb = kept
    return dict(found)


def tell_what_went_otherwise(section: Section, found: dict[str, Found]) -> None:
    """Say in full what the table has one word for."""
    for name, one in found.items():
        if one.word != EQUAL:
            section.say(f"{name}: {'; '.join(dict.fromkeys(one.verdicts))}")


def row(name: str, found: Found, ours: Found, lines: int) -> list[str]:
    median, base = middle(found.measured), middle(ours.measured)
    if not found.has_answered:
        return [name, *["-"] * (len(HEADS) - 2), found.word]
    return [
        name,
        seconds(median.wall_seconds),
        span([one.wall_seconds for one in found.measured]),
        seconds(median.cpu_seconds / lines * 1e6),
        f"{median.peak_mb:.0f}",
        f"{median.written_mb:.0f}",
        f"{found.kept_mb:.1f}",
        ratio(median.wall_seconds, base.wall_seconds),
        ratio(median.cpu_seconds, base.cpu_seconds),
        found.word,
    ]


def kept_mb(folder: Path) -> float:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
