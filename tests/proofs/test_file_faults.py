"""A run whose N-th call to the disk fails ends well or says what to do; the next ends where it would have.

The failing is done by this file, run as a program: it loads everything once, touches no lake, and forks
a process for each run. After a fault the lake is read before it is run again: each table has its old rows or
its new ones, and the published answers are all old or all new.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from deliveries import MADE_TABLES, NOW, TODAY, Row, Shop, event, published_rows, random_events, rows_of
from proofs.forms import Proof, form
from proofs.nth_call import DONE, ERRORS, HOWS, Fault, Shim, install

from eventmint.errors import Bug, EventmintError

PARTS = form().times(4, 40)
TABLES = ("bronze.events", *MADE_TABLES)
# Calls that change nothing: whether one fails before or after it is done is the same.
READING = (
    "PyArrowFile.exists",
    "PyArrowFile.open",
    "duckdb.fetchall",
    "duckdb.read_next_batch",
    "duckdb.to_arrow_table",
    "file.read",
    "os.lstat",
    "os.scandir",
    "os.stat",
    "pyarrow.parquet.read",
    "stream.read",
)
# Of the calls of a run, so many more than one of every kind.
SPARE = 20
IN_SHORT = 40  # of these in the short form
Found = dict[str, Any]


# --- The proof --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_whose_nth_call_fails_says_so_and_the_next_one_repairs_it(
    part: int, proof: Proof, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, __file__, str(tmp_path), str(part)]
    subprocess.run(program, env=environment, check=True, timeout=900)
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert outcome["wrong"] == {}
    for how, count in outcome["tried"].items():
        proof.tried(f"runs of which one call to the disk failed ({how})", count)
    if part == 0:
        proof.tried("kinds of calls among them, by operation and line of code", outcome["kinds"])


# --- Which calls fail -------------------------------------------------------------------------------------


def cases(sites: list[str], proof: Proof) -> list[Fault]:
    """The faults of this form: all, or in the short one some, of calls of as many kinds as there are."""
    rng = proof.random("which calls fail")
    every = [Fault(number, how) for number in range(1, 1 + len(sites)) for how in HOWS]
    fitting = [f for f in every if f.how != DONE or not sites[f.number - 1].startswith(READING)]
    rng.shuffle(fitting)
    if not proof.is_long:
        kinds: dict[str, Fault] = {}
        for fault in fitting:
            kinds.setdefault(sites[fault.number - 1], fault)
        others = [fault for fault in fitting if fault not in kinds.values()]
        fitting = rng.sample([*kinds.values(), *others[:SPARE]], IN_SHORT)
    fitting = [replace(fault, code=rng.choice(ERRORS)) for fault in fitting]
    return sorted(fitting, key=lambda fault: fault.number)


# --- The program ------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """One lake that has had a run, and the files of the next one, which is made to fail."""

    folder: Path
    references: dict[frozenset[str], Found] = field(default_factory=dict)
    repaired: set[str] = field(default_factory=set)

    @property
    def shop(self) -> Shop:
        return Shop(self.folder / "shop")

    @property
    def image(self) -> Path:
        return self.folder / "image"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def prepare(self) -> None:
        rng = Random(50)
        first: list[Row | bytes] = [*of_one_day(rng, 12), event(), event(), b"{"]
        self.shop.deliver("a", *first)
        found_by(partial(self.run, 0))
        shutil.copytree(self.shop.folder / "lake", self.image / "lake")
        shutil.copy2(self.shop.database, self.image)
        shared = of_one_day(rng, 4)
        self.shop.deliver("a", *first[:6], *shared, event(quantity=7), b"[]")
        self.shop.deliver("b", *shared, *first[3:], *of_one_day(rng, 8), b"")

    def go_back(self) -> None:
        """Make lake and database what they were before the files of the next run came."""
        shutil.rmtree(self.shop.folder / "lake")
        for path in self.shop.folder.glob("analytics.duckdb*"):
            path.unlink()
        shutil.copytree(self.image, self.shop.folder, dirs_exist_ok=True)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()

    def run(self, minutes: int, source: Path | None = None) -> Found:
        report = self.shop.lake.run(source or self.shop.source, now=NOW + timedelta(minutes=minutes))
        return {"set aside": sorted(report.set_aside)}

    def run_with(self, fault: Fault) -> Found:
        """Run while a call fails; return how it ended, and the calls that were made."""
        shim = Shim((str(self.shop.folder), str(self.temporary)), fault)
        install(shim)
        try:
            ended = self.run(1) | {"ended": "well"}
        except Exception as err:  # noqa: BLE001 - whatever it is, it is looked at
            is_told = isinstance(err, EventmintError) and not isinstance(err, Bug)
            trace = "".join(traceback.format_exception(err))
            ended = {"ended": "told" if is_told else trace, "set aside": []}
        shim.fault = Fault()
        return ended | {"sites": shim.sites}

    def look(self, old: Found | None = None) -> Found:
        """What every table holds, and what was published; as in `old` where nothing was written since."""
        lake, before, now = self.shop.lake, self.heads(self.image), self.heads(self.shop.folder)
        found: Found = {"tables": {}, "published": old["published"] if old else {}}
        for table in TABLES:
            is_old = old is not None and now.get(table) == before[table]
            found["tables"][table] = old["tables"][table] if old and is_old else digest(rows_of(lake, table))
        if not (old and self.shows_the_old()):
            published = published_rows(self.shop)
            found["published"] = {table: digest(rows) for table, rows in published.items()}
        return found

    def shows_the_old(self) -> bool:
        """Whether the database still is the file that it was."""
        before = self.image / self.shop.database.name
        return before.stat().st_mtime_ns == self.shop.database.stat().st_mtime_ns

    def heads(self, folder: Path) -> dict[str, str]:
        """Where the catalog in a folder says that the metadata of each table lies."""
        with closing(sqlite3.connect(folder / "lake" / "catalog.sqlite")) as catalog:
            rows = catalog.execute(
                "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables"
            )
            return dict(rows.fetchall())

    def look_at_all(self) -> Found:
        """What the lake holds when a run has ended well."""
        lake = self.shop.lake
        last = lake.last_run() or {}
        return self.look() | {
            "ledger": sorted(str(replace(entry, seq=0, batch="")) for entry in lake.ledger().entries),
            "totals": str(lake.totals()),
            "recorded": {name: last.get(name) for name in ("laws_hold", "lake")},
        }

    def repair_and_look(self) -> Found:
        self.run(2)
        return self.look_at_all()

    def without(self, names: frozenset[str]) -> Found:
        """What the lake holds when some files could not be read: no run without faults takes long to tell."""
        if names not in self.references:
            left = [path for path in self.shop.source.rglob("*.gz") if str(path) not in names]
            assert len(left) <= 1, names
            self.go_back()
            for path in left:
                found_by(partial(self.run, 1, path))
            self.references[names] = found_by(self.look)
        return self.references[names]

    def state(self) -> str:
        """All that decides what the next run does, but for the names of metadata files."""
        tables = []
        for name, location in sorted(self.heads(self.shop.folder).items()):
            metadata = json.loads(Path(location.removeprefix("file://")).read_text())
            newest = metadata["snapshots"][-1]["summary"] if metadata["snapshots"] else {}
            numbers = {key: value for key, value in newest.items() if key.startswith("total-")}
            tables.append((name, metadata["properties"].get("eventmint.seq"), numbers))
        folder = self.shop.folder
        files = [
            (path.relative_to(folder).as_posix(), path.stat().st_size)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.parent.name != "metadata" and path.suffix != ".gz"
        ]
        return repr((tables, files, self.shows_the_old()))


def main(folder: Path, part: int) -> None:
    proof = form()
    os.environ["PYICEBERG_MAX_WORKERS"] = "1"  # calls come in one order
    bench = Bench(folder)
    bench.temporary.mkdir()
    tempfile.tempdir = str(bench.temporary)
    bench.prepare()
    old = found_by(bench.look)
    undisturbed = found_by(partial(bench.run_with, Fault()))
    assert undisturbed["ended"] == "well", undisturbed
    new = found_by(bench.look_at_all)
    assert new["recorded"]["laws_hold"]
    assert new["published"] != old["published"]

    sites = undisturbed["sites"]
    every = cases(sites, proof)
    # Neighbours leave the lake in the same state, which is repaired once.
    mine = every[part * len(every) // PARTS : (part + 1) * len(every) // PARTS]
    wrong = {}
    for fault in mine:
        if said := judge(bench, fault, old, new):
            code = errno.errorcode[fault.code]
            wrong[f"call {fault.number} ({sites[fault.number - 1]}) {code} {fault.how}"] = said
    outcome = {
        "tried": Counter(fault.how for fault in mine),
        "kinds": len({sites[fault.number - 1] for fault in every}),
        "calls": len(sites),
        "states": len(bench.repaired),
        "wrong": wrong,
    }
    (folder / "outcome.json").write_text(json.dumps(outcome))


def judge(bench: Bench, fault: Fault, old: Found, new: Found) -> list[str]:
    """Let a run fail and the next one repair it; return what was not as promised."""
    bench.go_back()
    run = found_by(partial(bench.run_with, fault))
    wrong = [] if run["ended"] in ("well", "told") else [run["ended"]]
    state = bench.state()
    try:
        between = found_by(partial(bench.look, old))
        if run["set aside"]:  # a file that could not be read: the run went on without it
            end = found_by(bench.repair_and_look)
            new_then = bench.without(frozenset(run["set aside"]))
        elif state not in bench.repaired:
            end = found_by(bench.repair_and_look)
            new_then = new
        else:
            end = new_then = new
    except RuntimeError as err:
        return [*wrong, f"could not be read or repaired: {err}"]
    if between["published"] not in (old["published"], new_then["published"]):
        wrong.append("the published answers are neither the old ones nor the new ones")
    for table, rows in between["tables"].items():
        if rows not in (old["tables"][table], new_then["tables"][table]):
            wrong.append(f"{table} is neither old nor new")
    if run["ended"] == "well" and between["published"] != new_then["published"]:
        wrong.append("the run said that all was well, and published nothing")
    wrong += [f"{part}: {end[part]} instead of {new[part]}" for part in new if end[part] != new[part]]
    if not wrong:
        bench.repaired.add(state)
    return wrong


def found_by(work: Callable[[], Found]) -> Found:
    """Do this in a fork and return what it found. Raises: RuntimeError: how it failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 0
        try:
            said = json.dumps(work())
        except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
            said, code = traceback.format_exc(), 1
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            pipe.write(said)
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(said)
    found: Found = json.loads(said)
    return found


def of_one_day(rng: Random, count: int) -> list[Row]:
    return [{**one, "timestamp": f"{TODAY}T{one['timestamp'][11:]}"} for one in random_events(rng, count)]


def digest(rows: list[Row]) -> str:
    return f"{len(rows)} rows, {hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
