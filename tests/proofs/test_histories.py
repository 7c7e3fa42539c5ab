"""Whatever happens to a lake, in whatever order, its tables are those of a rebuild and of the slow oracle.

A history begins with a lake that has lived a little and goes on with what life brings: files that are new,
repeated, replaced, renamed, late or corrupt; runs that finish, that are cut off, that find another at work;
rollbacks to an earlier run, people who are forgotten and still come; programs that rewrite, forget or drop
tables. After every run that finished, every row of every table of
silver and gold is compared with the oracle's; at the end the laws are proven from the files, and the lake is
compared with one that was built from its files in a single run.

Some histories are played on real Iceberg tables, most on tables in memory that make the same promises: there
everything of ours runs as it is, some times faster.
"""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import forked
import hostile
import oracle
import pytest
from deliveries import MADE_TABLES, NOW, TODAY, Row, Shop, gzipped, random_events, text_of
from forget.people import ANNA, BEN, lines_of_the_forgotten
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from made_tables import made_tables, published_tables, tables_of
from memory_shops import MemoryShop, play_in_memory
from other_programs import compact, drop, expire

from eventmint import crash_points
from eventmint.contracts import all_contracts
from eventmint.errors import FixData, FixSettings, LockHeld
from eventmint.lake import Lake
from eventmint.values import DayRange, RunReport

if TYPE_CHECKING:
    from proofs.forms import Proof

REAL_ITEMS, MEMORY_ITEMS = 6, 8
MIN_STEPS, STEPS = 3, 4
# More than a run over one file has: some runs that were to be cut off finish.
CRASH_POINTS = 110
COMMITS = tuple(f"commit {shape.table}: {when}" for shape in all_contracts() for when in ("before", "after"))
KEY = ("user_id", "event_type", "product_id")
TABLES = tuple(shape.table for shape in all_contracts())
_moments = itertools.count()


class CutOff(BaseException):
    """Ends a run in the middle; nothing of ours catches it."""


class Enough(BaseException):
    """As many different histories have been played as were wanted."""


# --- The lake and what it must hold -----------------------------------------------------------------------


@dataclass
class Books:
    """What the histories know of a lake without asking it.

    Attributes:
        lying: the files of the source: their texts, None for what nobody can read.
        counting: of each path that was ever taken in, the text that counts.
        landed: every text that was ever taken in.
        unsure: paths that a run which was cut off may have taken in, or not.
        are_forgotten: whether the lines of two people count no more.
    """

    lying: dict[str, bytes | None] = field(default_factory=dict)
    counting: dict[str, bytes] = field(default_factory=dict)
    landed: set[bytes] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    are_forgotten: bool = False

    def finish(self) -> None:
        readable = {path: text for path, text in self.lying.items() if text is not None}
        self.counting |= readable
        self.landed |= set(readable.values())
        self.unsure.clear()

    def cut_off(self) -> None:
        self.unsure |= {path for path, text in self.lying.items() if self.counting.get(path) != text}

    def sure(self, *, readable: bool = False) -> list[str]:
        """The paths that may be replaced without making it a matter of luck which of their texts counts."""
        return [
            path
            for path, text in sorted(self.lying.items())
            if path not in self.unsure and (text is not None or not readable)
        ]

    def copy(self) -> Books:
        return Books(
            dict(self.lying), dict(self.counting), set(self.landed), set(self.unsure), self.are_forgotten
        )

    def as_of(self, earlier: Books) -> Books:
        """What is known after a rollback: the lake is as it was, the source as it is."""
        return Books(
            dict(self.lying), dict(earlier.counting), set(earlier.landed), set(), earlier.are_forgotten
        )


@dataclass
class Yard:
    """One folder in which histories are played, each from a copy of what an opening left."""

    shop: Shop
    is_real: bool
    has_key: bool
    rng: Random
    wanted: int
    openings: list[tuple[Path, dict[Any, Any], Books]] = field(default_factory=list)
    played: set[tuple[str, ...]] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    without: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pool: list[Row | bytes] = [*random_events(self.rng, 40)]
        self.pool += [{**event, "category": "twin"} for event in self.pool[:6] if isinstance(event, dict)]
        days = ("2025-06-09", "2025-06-11")
        self.late = [
            {**event, "timestamp": f"{self.rng.choice(days)}T{event['timestamp'][11:]}"}
            for event in random_events(self.rng, 12)
        ]

    @property
    def key(self) -> tuple[str, ...] | None:
        return KEY if self.has_key else None

    def text(self, number: int, *, is_late: bool = False, has_theirs: bool = False) -> bytes:
        """A text with this number: events of the pool, so that texts meet, one twice, and bad lines.

        Some have lines of two people who may be forgotten; `without` has the same text without these.
        """
        rng = Random(number)
        lines: list[Row | bytes] = rng.sample(self.pool, rng.choice((0, 1, 4, 8)))
        lines += rng.sample(self.late, rng.choice((1, 3)) if is_late else 0)
        lines += lines[:1]
        strange = [hostile.mutated(rng)[1][:500] for _ in range(rng.choice((0, 1, 2)))]
        # Microseconds beyond the latest time that an event may have: then the time of the run decides.
        lines += [line for line in strange if b":30:00.0" not in line]
        rng.shuffle(lines)
        lines += [b""] * rng.choice((0, 0, 1))
        if not has_theirs and rng.random() < 0.6:
            return text_of(*lines)
        lines.append(b'{"this text and no other": %d' % number)  # no other is the same without them
        theirs = rng.sample(lines_of_the_forgotten(number % 50), 3)
        text = text_of(*lines[:1], *theirs, *lines[1:])
        self.without[text] = text_of(*lines)
        return text

    def left_of(self, texts: set[bytes], books: Books) -> set[bytes]:
        """What counts of some texts."""
        return {self.without.get(text, text) for text in texts} if books.are_forgotten else texts

    def lake(self) -> Lake:
        return self.shop.lake

    def keep(self, books: Books) -> None:
        image = self.shop.folder.with_name(f"opening {len(self.openings)}")
        if self.shop.folder.exists():
            shutil.copytree(self.shop.folder, image)
        self.openings.append((image, self._states().copy(), books.copy()))

    def go_back_to(self, number: int) -> Books:
        # The tables know their files by absolute path: a copy works only where the original lay.
        image, states, books = self.openings[number]
        shutil.rmtree(self.shop.folder, ignore_errors=True)
        if image.exists():
            shutil.copytree(image, self.shop.folder)
        self._states().clear()
        self._states().update(states)
        return books.copy()

    def _states(self) -> dict[Any, Any]:
        return self.shop.catalog.states if isinstance(self.shop, MemoryShop) else {}

    def rebuilt(self, texts: set[bytes]) -> dict[str, list[Row]]:
        """The tables of a lake that was built in one run from these texts: in memory, only rows count."""
        folder = self.shop.folder.with_name("rebuilt")
        shutil.rmtree(folder, ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            play_in_memory(patch)
            shop = MemoryShop(folder, self.shop.settings)
            shop.source.mkdir(parents=True)
            for number, text in enumerate(sorted(texts)):
                shop.deliver_text(str(number), text)
            assert shop.run().laws_hold
            return tables_of(shop.lake)


# --- A history -------------------------------------------------------------------------------------------


class History(RuleBasedStateMachine):
    yard: Yard

    @initialize(opening=st.integers(0, 100))
    def begin(self, opening: int) -> None:
        self.opening = opening % len(self.yard.openings)
        self.books = self.yard.go_back_to(self.opening)
        self.shop = self.yard.shop
        self.told: list[str] = [f"opening {self.opening}"]
        self.is_stale = False
        self.names = itertools.count()
        self.past: dict[str, Books] = {}
        if self.has_lake:
            self.past[self.shop.lake.runs()[-1]["run_id"]] = self.books.copy()

    # what is delivered

    @rule(number=st.integers(0, 1 << 32))
    def new_file(self, number: int) -> None:
        self.deliver("new files", self.new_name(), self.yard.text(number))

    @rule(number=st.integers(0, 1 << 32))
    def late_file(self, number: int) -> None:
        self.deliver("late files", self.new_name(), self.yard.text(number, is_late=True))

    @precondition(lambda self: self.books.sure(readable=True))
    @rule(which=st.integers(0, 100))
    def same_file_under_another_name(self, which: int) -> None:
        text = self.books.lying[pick(self.books.sure(readable=True), which)]
        assert text is not None
        self.deliver("repeated files", self.new_name(), text)

    @precondition(lambda self: self.books.sure())
    @rule(which=st.integers(0, 100), number=st.integers(0, 1 << 32))
    def replaced_file(self, which: int, number: int) -> None:
        self.deliver("replaced files", pick(self.books.sure(), which), self.yard.text(number))

    @precondition(lambda self: self.books.sure() and self.books.landed)
    @rule(which=st.integers(0, 100), earlier=st.integers(0, 100))
    def file_replaced_by_what_was_there_before(self, which: int, earlier: int) -> None:
        text = pick(sorted(self.books.landed), earlier)
        self.deliver("files replaced by an earlier text", pick(self.books.sure(), which), text)

    @precondition(lambda self: self.books.sure(readable=True))
    @rule(which=st.integers(0, 100))
    def renamed_file(self, which: int) -> None:
        before, after = pick(self.books.sure(readable=True), which), self.new_name()
        self.note("renamed files", before, after)
        self.books.lying[after] = self.books.lying.pop(before)
        folder = self.shop.source / "events"
        (folder / f"{before}.jsonl.gz").rename(folder / f"{after}.jsonl.gz")

    @rule(which=st.integers(0, 100), number=st.integers(0, 1 << 32), is_new=st.booleans())
    def corrupt_file(self, which: int, number: int, *, is_new: bool) -> None:
        sure = self.books.sure()
        name = self.new_name() if is_new or not sure else pick(sure, which)
        self.note("corrupt files", name, number)
        self.books.lying[name] = None
        self.shop.deliver_bytes(name, spoilt(gzipped(self.yard.text(number)), Random(number)))

    # what runs

    @precondition(lambda self: self.is_stale)
    @rule()
    def run(self) -> None:
        self.note("runs")
        self.finished(self.run_once())

    @precondition(lambda self: self.is_stale)
    @rule(where=st.sampled_from(COMMITS) | st.integers(1, CRASH_POINTS))
    def run_that_is_cut_off(self, where: str | int) -> None:
        def cut(_point: str) -> None:
            raise CutOff

        self.note("runs cut off", where)
        try:
            with at_crash_point(where, cut):
                report = self.run_once()
        except CutOff:
            self.books.cut_off()
        else:
            self.finished(report)

    @precondition(lambda self: self.yard.is_real and self.is_stale)
    @rule(number=st.integers(1, CRASH_POINTS))
    def run_that_is_killed(self, number: int) -> None:
        self.note("runs killed", number)
        self.shop.source.mkdir(parents=True, exist_ok=True)
        run = forked.start(forked.run_until, self.shop.folder, self.shop.settings, next_moment(), number)
        run.join()
        assert run.exitcode in (-signal.SIGKILL, 0), run.exitcode
        if run.exitcode:
            self.books.cut_off()
        else:
            self.books.finish()
            self.check()

    @precondition(lambda self: self.is_stale)
    @rule(number=st.integers(1, CRASH_POINTS // 2))
    def two_runs_at_once(self, number: int) -> None:
        refused = []

        def run_too(_point: str) -> None:
            with pytest.raises(LockHeld):
                self.run_once()
            refused.append(number)

        self.note("runs during another", number)
        with at_crash_point(number, run_too):
            report = self.run_once()
        self.finished(report)

    # what keeps it small

    @precondition(lambda self: self.has_lake)
    @rule(age=st.sampled_from((0, 2, 9000)))
    def maintenance(self, age: int) -> None:
        """Merge, and perhaps forget all states but the newest; a lake that was left undone is refused."""
        self.told.append(repr(("maintenance", age)))
        try:
            made = self.shop.lake.maintain(now=next_moment() + timedelta(days=age))
        except FixData:
            self.yard.done["maintenances refused after a run that was cut off"] += 1
        else:
            assert made.is_complete
            self.yard.done["maintenances"] += 1
            if not self.is_stale:
                self.check()

    @precondition(lambda self: self.has_lake)
    @rule(where=st.integers(1, CRASH_POINTS // 4))
    def maintenance_that_is_cut_off(self, where: int) -> None:
        def cut(_point: str) -> None:
            raise CutOff

        self.told.append(repr(("maintenance cut off", where)))
        with suppress(CutOff, FixData), at_crash_point(where, cut):
            self.shop.lake.maintain(now=next_moment() + timedelta(days=9000))
        self.yard.done["maintenances cut off"] += 1
        if not self.is_stale:
            self.check()

    @precondition(lambda self: self.has_lake)
    @rule(first=st.integers(-9, 1), length=st.integers(1, 10))
    def days_made_anew(self, first: int, length: int) -> None:
        """Silver and gold of some days from bronze; under a key without the time it is refused."""
        self.told.append(repr(("days made anew", first, length)))
        begin = TODAY + timedelta(days=first)
        try:
            self.shop.lake.restate(DayRange(begin, begin + timedelta(days=length)), now=next_moment())
        except FixSettings:
            assert self.yard.has_key
            self.yard.done["restatements refused under a key without the time"] += 1
            return
        self.yard.done["restatements of days"] += 1
        if not self.is_stale:
            self.check()

    # what changes history

    @precondition(lambda self: self.past)
    @rule(which=st.integers(0, 100), number=st.integers(0, 1 << 32))
    def rollback(self, which: int, number: int) -> None:
        """A run, undone: all tables as an earlier one had left them; the next takes in again what came."""
        earlier = [*self.past.items()]
        self.deliver("files rolled back", self.new_name(), self.yard.text(number))
        self.finished(self.run_once())
        self.told.append(repr(("rollback", which)))
        run_id, books = pick(earlier, which)
        try:
            self.shop.lake.rollback(run_id, now=next_moment())
        except FixSettings as err:
            if not re.search("not kept any more|people were forgotten after", err.message):
                raise
            self.yard.done["rollbacks refused"] += 1
            return
        self.yard.done["rollbacks"] += 1
        self.books = self.books.as_of(books)
        self.check()
        self.is_stale = True

    @precondition(lambda self: self.has_lake)
    @rule(cut_off_at=st.none() | st.integers(1, CRASH_POINTS // 2), number=st.integers(0, 1 << 32))
    def people_forgotten(self, cut_off_at: int | None, number: int) -> None:
        """Two people out of every table; done again where it was cut off. Then lines of theirs come."""

        def cut(_point: str) -> None:
            raise CutOff

        def forget() -> None:
            self.shop.lake.forget([ANNA, BEN], now=next_moment())

        self.told.append(repr(("people forgotten", cut_off_at)))
        if cut_off_at is not None:
            with suppress(CutOff), at_crash_point(cut_off_at, cut):
                forget()
        forget()
        self.yard.done["people forgotten"] += 2
        self.books.are_forgotten = True
        if not self.is_stale:
            self.check()
        self.deliver("files of forgotten people", self.new_name(), self.yard.text(number, has_theirs=True))

    # what other programs do

    @precondition(lambda self: self.has_lake and not self.books.unsure)
    @rule(names=st.sets(st.sampled_from(TABLES), min_size=1, max_size=4), number=st.integers(0, 1 << 32))
    def compaction(self, names: set[str], number: int) -> None:
        self.change_tables("tables compacted", names, lambda lake, name: compact(lake, name, Random(number)))

    @precondition(lambda self: self.has_lake)
    @rule(names=st.sets(st.sampled_from(TABLES), min_size=1, max_size=4))
    def expiry(self, names: set[str]) -> None:
        self.change_tables("tables whose snapshots were expired", names, expire)

    @precondition(lambda self: self.has_lake)
    @rule(names=st.sets(st.sampled_from(MADE_TABLES), min_size=1))
    def restatement(self, names: set[str]) -> None:
        self.change_tables("tables dropped and restated", names, drop)

    def change_tables(self, what: str, names: set[str], change: Callable[[Lake, str], object]) -> None:
        lake = self.shop.lake
        lake._catalog.create_missing()
        self.note(what, *sorted(names))
        self.yard.done[what] += len(names) - 1
        for name in sorted(names):
            change(lake, name)

    # what must be so

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            return
        if self.is_stale or not self.has_lake:
            self.finished(self.run_once())
        self.yard.played.add(tuple(self.told))
        if self.yard.is_real or len(self.yard.played) % 5 == 0:
            assert [str(law) for law in self.shop.lake.verify() if not law.holds] == []
            self.yard.done["lakes verified, and rebuilt from their files"] += 1
            assert tables_of(self.shop.lake) == self.yard.rebuilt(self.counting())
        if len(self.yard.played) == self.yard.wanted:
            raise Enough

    def finished(self, report: RunReport) -> None:
        assert report.laws_hold
        assert report.files_unsettled == 0
        self.books.finish()
        if report.changed:
            self.past[report.run_id] = self.books.copy()
        self.check()

    def counting(self) -> set[bytes]:
        return self.yard.left_of(set(self.books.counting.values()), self.books)

    def check(self) -> None:
        """Compare every table, row for row, with the oracle's."""
        self.is_stale = False
        expected = made_tables(self.counting(), self.yard.key)
        lake = self.shop.lake
        assert_same(tables_of(lake), expected, "in the lake")
        if self.yard.is_real:
            assert_same(published_tables(self.shop), expected, "published")
        came = oracle.lake(self.books.landed, now=NOW)
        left = oracle.lake(self.yard.left_of(self.books.landed, self.books), now=NOW)
        totals = lake.totals()
        assert (totals.lines, totals.blank, totals.quarantined, totals.suppressed) == (
            came.lines,
            came.blank,
            left.quarantined,
            came.lines - left.lines,
        )
        self.yard.done["runs after which every row was the oracle's"] += 1

    @property
    def has_lake(self) -> bool:
        return (self.shop.folder / "lake" / "catalog.sqlite").exists()

    def run_once(self) -> RunReport:
        self.shop.source.mkdir(parents=True, exist_ok=True)
        return self.shop.lake.run(self.shop.source, now=next_moment())

    def deliver(self, what: str, name: str, text: bytes) -> None:
        self.note(what, name, text)
        self.books.lying[name] = text
        self.shop.deliver_text(name, text)

    def new_name(self) -> str:
        return f"{'zam'[len(self.books.lying) % 3]}{next(self.names)}"

    def note(self, what: str, *details: object) -> None:
        self.told.append(repr((what, *details)))
        self.is_stale = True
        self.yard.done[what] += 1


def assert_same(found: dict[str, list[Row]], expected: dict[str, list[Row]], where: str) -> None:
    for name in MADE_TABLES:
        assert found[name] == expected[name], f"{name} {where}"


def pick(names: list[Any], which: int) -> Any:
    return names[which % len(names)]


def next_moment() -> Any:
    return NOW + timedelta(microseconds=1_000_000 + next(_moments))


def spoilt(compressed: bytes, rng: Random) -> bytes:
    """Return bytes that no reader may accept: cut short, with a wrong checksum, or no gzip at all."""
    checksum = bytes(byte ^ 1 for byte in compressed[-8:-4])
    return rng.choice(
        (
            compressed[: rng.randrange(1, len(compressed))],
            compressed[:-8] + checksum + compressed[-4:],
            b"no gzip",
        )
    )


@contextmanager
def at_crash_point(where: str | int, act: Callable[[str], None]) -> Iterator[None]:
    """Do this once: at the crash point of this name, or at the one that is reached as the so-manieth."""
    reached = 0
    is_over = False

    def hook(point: str) -> None:
        nonlocal reached, is_over
        reached += 1
        if where in (point, reached) and not is_over:
            is_over = True
            act(point)

    crash_points.on_reached = hook
    try:
        yield
    finally:
        crash_points.on_reached = None


# --- The proofs ------------------------------------------------------------------------------------------


def openings(yard: Yard) -> None:
    """Let lakes live a little: from nothing, from one file, from files that were replaced and repeated."""
    books = Books()
    yard.keep(books)
    for round_ in range(1 if yard.is_real else 2):
        for name in ("a", "b", "c")[: 2 + round_]:
            books.lying[name] = yard.text(yard.rng.getrandbits(32), is_late=name == "b")
            yard.shop.deliver_text(name, books.lying[name] or b"")
        yard.shop.run()
        books.finish()
        yard.keep(books)


def play(yard: Yard, proof: Proof, number: int) -> None:
    openings(yard)
    machine = seed(proof.random("histories", yard.is_real, number).getrandbits(64))(
        type("History", (History,), {"yard": yard})
    )
    phases = (Phase.generate,) if yard.is_real else (Phase.generate, Phase.shrink)
    try:
        run_state_machine_as_test(  # it has no other way to say that a history is not to be short
            machine,
            settings=settings(
                max_examples=3 * yard.wanted,  # some turn out to be the same
                stateful_step_count=STEPS,
                deadline=None,
                derandomize=False,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
            _min_steps=MIN_STEPS,
        )
    except Enough:
        pass
    finally:
        crash_points.on_reached = None
    assert len(yard.played) == yard.wanted
    kind = "real Iceberg tables" if yard.is_real else "tables in memory"
    proof.tried(f"histories on {kind}", len(yard.played))
    for what, count in sorted(yard.done.items()):
        proof.tried(what, count)


def settings_in(folder: Path, *, has_key: bool) -> dict[str, Any]:
    """The settings of a shop; what keeps people forgotten lies outside of what a history puts back."""
    dedup = {"quality__dedup": list(KEY)} if has_key else {}
    return {"privacy__key_file": str(folder / "forgotten.key"), **dedup}


def shares(total: int, items: int) -> list[int]:
    return [total // items + (number < total % items) for number in range(items)]


@pytest.mark.parametrize("number", range(REAL_ITEMS))
def test_any_history_of_real_tables_ends_where_a_rebuild_does(
    proof: Proof, tmp_path: Path, number: int
) -> None:
    histories = shares(proof.times(60, 600), REAL_ITEMS)[number]
    has_key = number % 3 == 2
    shop = Shop(tmp_path / "yard", settings_in(tmp_path, has_key=has_key))
    yard = Yard(shop, is_real=True, has_key=has_key, rng=proof.random("yard", number), wanted=histories)
    play(yard, proof, number)


@pytest.mark.parametrize("number", range(MEMORY_ITEMS))
def test_any_history_ends_where_a_rebuild_does(
    proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    histories = shares(proof.times(240, 9400), MEMORY_ITEMS)[number]
    has_key = number % 4 == 3
    play_in_memory(monkeypatch)
    shop = MemoryShop(tmp_path / "yard", settings_in(tmp_path, has_key=has_key))
    yard = Yard(shop, is_real=False, has_key=has_key, rng=proof.random("yard", number), wanted=histories)
    play(yard, proof, number)
