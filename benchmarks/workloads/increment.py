"""2. Increment: one more file, however much the lake already holds.

The history is made as time would make it: one run per file, each with its commits, so that metadata is as
long as in a real lake. The last day's files are as large as the measured one: their events are what it
delivers again, and their users and sessions what it is compared with. Older ones are smaller
(`--history-events`). The lake is put back before each round.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.answers import answers_of_lake, difference
from benchmarks.candidates import EQUAL, US, run_eventmint
from benchmarks.data import START, DataSet, data_set, link
from benchmarks.deliveries import deliver, open_home
from benchmarks.report import Section, counted, ratio, seconds, span
from benchmarks.sitting import Sitting
from benchmarks.watch import Measured, middle
from benchmarks.workloads.backlog import Found
from eventmint.contracts import contract
from eventmint.lake import MAINTAINED, Lake
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import note

WINDOW = timedelta(minutes=5)
FILES_OF_A_DAY = timedelta(days=1) // WINDOW
HEADS = (
    "", "wall s", "min-max", "CPU s", "peak MB", "written MB", "wall / first", "CPU / first", "answers"
)  # fmt: skip
CONFIG = '[source]\npath = "data"\n'
# What is written once and never changed may be shared between the lake and the copy that it is put back from.
WRITTEN_ONCE = (".parquet", ".avro", ".json")


@dataclass(frozen=True)
class Home:
    """A lake with a history of so many files, and the file that comes next."""

    folder: Path
    history: int
    newest: Path
    source: Path

    def put_back(self) -> None:
        """Bring the lake to the state before the newest file; the first time, keep that state."""
        for name in ("lake", "analytics.duckdb"):
            kept, live = self.folder / f"{name}.kept", self.folder / name
            if not kept.exists():
                live.rename(kept)
            shutil.rmtree(live, ignore_errors=True)
            if kept.is_dir():
                shutil.copytree(kept, live, copy_function=_copy_or_link)
            else:
                shutil.copyfile(kept, live)
        (self.folder / "data" / self.newest.relative_to(self.source)).unlink(missing_ok=True)

    def increment(self) -> Measured:
        self.put_back()
        link(self.newest, self.source, self.folder / "data")
        return run_eventmint(self.folder, "run")


def run(sitting: Sitting) -> Section:
    sizes = sitting.sizes
    section = Section(f"2. Increment: one file of {sizes.events:,} lines")
    with sitting.fresh("increment") as place:
        homes = made_homes(sitting, place)
        found: dict[int, list[Measured]] = defaultdict(list)
        for number in range(sizes.rounds):
            for home in homes[number % len(homes) :] + homes[: number % len(homes)]:
                measured = home.increment()
                found[home.history].append(measured)
                sitting.tell(
                    f"increment after {home.history:,}: {measured.wall_seconds:.2f} s {measured.trouble}"
                )
        verdicts = {home.history: compared_with_a_rebuild(home, place / "rebuild") for home in homes}
    for history, verdict in verdicts.items():
        trouble = middle(found[history]).trouble
        section.require(EQUAL, trouble or verdict, f"{US} after {history:,} files")
    base = middle(found[homes[0].history])
    rows = []
    for home in homes:
        one = middle(found[home.history])
        rows.append([
            f"after {home.history:,} files",
            seconds(one.wall_seconds),
            span([measured.wall_seconds for measured in found[home.history]]),
            seconds(one.cpu_seconds),
            f"{one.peak_mb:.0f}",
            f"{one.written_mb:.0f}",
            ratio(one.wall_seconds, base.wall_seconds),
            ratio(one.cpu_seconds, base.cpu_seconds),
            one.trouble or verdicts[home.history],
        ])  # fmt: skip
    section.say(
        f"eventmint, {counted(sizes.rounds, 'round')}, medians. Each file of the history came in by a run "
        f"of its own; those of the last day have {sizes.events:,} lines, older ones "
        f"{sizes.history_events:,}. Answers are compared with those of a lake that took all files in at once."
    )
    section.table(HEADS, rows)
    longest = middle(found[max(found)])
    section.facts["increment.growth"] = longest.wall_seconds / middle(found[min(found)]).wall_seconds
    section.facts["increment.seconds"] = longest.wall_seconds
    tell_of_peers(sitting, section)
    return section


def made_homes(sitting: Sitting, place: Path) -> list[Home]:
    """Return a lake for each length of history; all of them end at the same minute."""
    sizes = sitting.sizes
    longest = max(sizes.histories)
    small = data_set(sitting.shelf, longest, sizes.history_events, truth=False)
    newest = START + longest * WINDOW
    large_before = min(longest, FILES_OF_A_DAY)
    large = data_set(
        sitting.shelf, large_before + 1, sizes.events, start=newest - large_before * WINDOW, truth=False
    )
    return [made_home(sitting, place / str(history), history, small, large) for history in sizes.histories]


def made_home(sitting: Sitting, folder: Path, history: int, small: DataSet, large: DataSet) -> Home:
    sitting.tell(f"history of {history:,} files, one run each")
    folder.mkdir()
    (folder / "eventmint.toml").write_text(CONFIG, encoding="utf-8")
    lake = open_home(folder)
    *before, newest = large.files
    older = small.files[: -len(before)]
    for _ in deliver(lake, older[len(older) - max(0, history - len(before)) :], small.source):
        pass
    for _ in deliver(lake, before[-history:], large.source):
        pass
    maintained_today(lake)
    return Home(folder, history, newest, large.source)


def maintained_today(lake: Lake) -> None:
    """The history was maintained once a day of its own; the measured run, which is of today, is not due."""
    catalog = LakeCatalog(str(lake.settings.lake_location))
    note(catalog.load(contract("ops.runs")), {MAINTAINED: datetime.now(UTC).date().isoformat()})


def compared_with_a_rebuild(home: Home, folder: Path) -> str:
    """Hold the answers after the last increment against those of a lake made of the same files at once."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rebuilt = open_home(folder)
    rebuilt.run(home.folder / "data")
    differs = difference(answers_of_lake(folder), answers_of_lake(home.folder))
    return f"differ ({differs})" if differs else EQUAL


def tell_of_peers(sitting: Sitting, section: Section) -> None:
    """The last file of the backlog arrives: the peers do their job again, as it is written."""
    data = sitting.clean
    if len(data.files) == 1:
        return
    last = data.files[-1]
    found: dict[str, Found] = defaultdict(Found)
    with sitting.fresh("before") as source:
        for file in data.files[:-1]:
            link(file, data.source, source / "data")
        for candidate in sitting.candidates:
            with sitting.fresh("peer") as out:
                if candidate.name == US:
                    before = candidate.run(source / "data", out)
                    link(last, data.source, source / "data")
                    measured = candidate.run(source / "data", out) if not before.trouble else before
                else:
                    measured = candidate.run(source / "data", out)
                found[candidate.name].measured.append(measured)
                found[candidate.name].verdicts.append(candidate.verdict(measured, out, data.answers))
            sitting.tell(f"increment, {candidate.name}: {measured.wall_seconds:.1f} s")
    for name, one in found.items():
        section.require(EQUAL, one.word, f"{name}, last file")
    base = found[US].measured[0]
    section.say(
        f"The last of {counted(len(data.files), 'file')} of {sitting.sizes.events:,} lines, one round. "
        "The peers do the whole job again, which is what their code says: none of them keeps a record of "
        "what it has read. A Polars or DuckDB user can write a per-file scheme by hand; dbt has "
        "incremental models, but dbt-duckdb's documentation excludes them for Parquet files (external "
        "models)."
    )
    rows = [
        [name, seconds(one.measured[0].wall_seconds), seconds(one.measured[0].cpu_seconds),
         f"{one.measured[0].peak_mb:.0f}", ratio(one.measured[0].wall_seconds, base.wall_seconds),
         ratio(one.measured[0].cpu_seconds, base.cpu_seconds), one.word]
        for name, one in found.items()
    ]  # fmt: skip
    section.table(["", "wall s", "CPU s", "peak MB", "wall / ours", "CPU / ours", "answers"], rows)


def _copy_or_link(source: str, target: str) -> str:
    if source.endswith(WRITTEN_ONCE):
        Path(target).hardlink_to(source)
        return target
    return shutil.copy2(source, target)
