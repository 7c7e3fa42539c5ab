"""Silver and gold made again from the lines of bronze, a day at a time, and compared with what is held.

Each table is held to the batch that it says it includes, so that a lake which a crash left between two stages
is as good as any other. Where the input of a table is itself in doubt, the table is held to the nearest input
that is not: damage is named where it is, and not again in everything that follows from it.
"""

# ruff: noqa: S608 - statements are composed of our own names, and of hashes of our own making
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from eventmint.contracts import ANSWERS, contract, model_sql
from eventmint.engine.parquet import read_rows
from eventmint.engine.protocol import Session
from eventmint.pipeline import BLOCKS, Run, day_span
from eventmint.recheck.differences import Difference, Row, compare, compare_rows, placed
from eventmint.recheck.files import NO_DIGEST, TableFiles, subject_of
from eventmint.silver.hours import Books, books_to_table, recount_day
from eventmint.storage import shrink_downloads
from eventmint.tables.plan import LiveFile, live_files, seq_of
from eventmint.values import EVENT_COLUMNS, Law

_SILVER, _BOOKS = "silver.events_cleaned", "silver.event_hours"
_ANSWERS = tuple(f"gold.{answer}" for answer in ANSWERS)
_FIELDS = ", ".join(EVENT_COLUMNS)
_ORDER = ", ".join(f"{column} ASC NULLS LAST" for column in EVENT_COLUMNS)
_TERMS = "rows that differ from what is made again = 0"


def laws_of_values(run: Run, session: Session, tables: dict[str, TableFiles]) -> Iterator[Law]:
    """Make every table again and compare."""
    bronze = tables["bronze.events"]
    by_seq: dict[int, list[TableFiles]] = defaultdict(list)
    for name in (_SILVER, _BOOKS, *BLOCKS, *_ANSWERS):
        if name in tables:
            by_seq[seq_of(tables[name].table)].append(tables[name])
    for seq, some in sorted(by_seq.items()):
        yield from _Remake(run, session, bronze, tables.get(_SILVER), some, seq).laws()


class _Remake:
    """Everything that follows from bronze as it was after one batch."""

    def __init__(
        self,
        run: Run,
        session: Session,
        bronze: TableFiles,
        silver: TableFiles | None,
        tables: Sequence[TableFiles],
        seq: int,
    ) -> None:
        self._run = run
        self._session = session
        self._bronze = bronze
        self._silver = silver if silver and seq_of(silver.table) == seq else None
        self._tables = {one.shape.table: one for one in tables}
        self._live = run.ledger.live_contents(seq)
        self._books: Books = {}
        self._unproven_days: set[date] = set()

    def laws(self) -> Iterator[Law]:
        if not self._run.key_has_time:
            # The line that survives may be of another day: chosen once for all days.
            self._scan_lines(self._bronze.files)
            self._session.table("survivors", self._distinct("live_lines"))
        for day in self._days():
            yield from self._laws_of_day(day)
            shrink_downloads()
        if _BOOKS in self._tables:
            yield from self._laws_of_books(self._tables[_BOOKS])

    def _days(self) -> list[date]:
        """Every day that has a line, or a row in any table. The books of closed days are those of then."""
        self._scan_lines(self._bronze.files)
        found = self._session.rows("SELECT DISTINCT CAST(event_time AS DATE) AS day FROM live_lines")
        held = {file.day for one in self._tables.values() for file in one.files if file.day}
        return sorted(held | {row["day"] for row in found if row["day"]})

    def _laws_of_closed_day(self, day: date) -> Iterator[Law]:
        """The lines of a day are gone: gold is held to silver, and silver to nothing but its own digests."""
        held = self._held(self._silver, day) if self._silver is not None else []
        names = ", ".join(name for name, one in self._tables.items() if any(f.day == day for f in one.files))
        yield Law("values", f"{names} {day}", "counted, not proven: retention removed the lines", 0, 0)
        if self._silver is not None and held:
            self._session.table("events", f"SELECT * FROM held_{self._silver.shape.name}")
            yield from self._laws_of_gold(day, self._silver.doubt(held))

    def _laws_of_day(self, day: date) -> Iterator[Law]:
        if self._run.is_closed(day):
            yield from self._laws_of_closed_day(day)
            return
        around = live_files(
            self._bronze.table,
            self._bronze.shape,
            between=day_span(day) if self._run.key_has_time else None,
        )
        locations = [file.location for file in around]
        self._scan_lines(around)
        of_day = f"CAST(event_time AS DATE) = DATE '{day.isoformat()}'"
        if self._run.key_has_time:
            self._session.view("survivors", self._distinct("live_lines"))
        new_events = f"SELECT {_FIELDS}, false AS is_suspect FROM survivors WHERE {of_day}"
        self._session.view("new_events", new_events)
        self._session.table("events", model_sql(_SILVER, self._session.dialect))
        made_from = doubt = self._bronze.doubt(locations)
        if self._silver is not None:
            held = self._held(self._silver, day)
            if set(locations) & self._bronze.broken:
                yield self._unproven(day, set(locations) & self._bronze.broken)
            else:
                yield from self._laws_of_silver(self._silver, day, locations)
            if doubt > self._silver.doubt(held):
                made_from = self._silver.doubt(held)
                self._session.table("events", f"SELECT * FROM held_{self._silver.shape.name}")
        if doubt > NO_DIGEST:
            self._unproven_days.add(day)
        else:
            self._recount(day)
        yield from self._laws_of_gold(day, made_from)

    def _scan_lines(self, files: Iterable[LiveFile]) -> None:
        readable = [file.location for file in files if file.location not in self._bronze.broken]
        self._session.scan("bronze_lines", self._bronze.shape, readable)
        contents = ", ".join(f"'{sha}'" for sha in sorted(self._live)) or "NULL"
        self._session.view(
            "live_lines",
            f"SELECT {_FIELDS} FROM bronze_lines WHERE problem IS NULL AND source_sha256 IN ({contents})",
        )

    def _distinct(self, lines: str) -> str:
        """What silver is: each value once, or of each key the smallest line."""
        key = self._run.dedup_key
        if key is None:
            return f"SELECT DISTINCT {_FIELDS} FROM {lines}"
        place = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(key)} ORDER BY {_ORDER}) AS place"
        return f"SELECT {_FIELDS} FROM (SELECT {_FIELDS}, {place} FROM {lines}) AS ranked WHERE place = 1"

    def _held(self, one: TableFiles, day: date) -> list[str]:
        """Name the rows that a table holds of a day: `held_<table>`."""
        files = [file.location for file in one.readable if file.day == day]
        self._session.scan(f"held_{one.shape.name}", one.shape, files)
        return [file.location for file in one.files if file.day == day]

    def _laws_of_silver(self, silver: TableFiles, day: date, lines: Sequence[str]) -> Iterator[Law]:
        held = [file.location for file in silver.files if file.day == day]
        found = compare(self._session, silver.shape, "events", f"held_{silver.shape.name}")
        if found and self._bronze.doubt(lines) > silver.doubt(held):
            # Silver is what was written, bronze may not be: then it is bronze that changed.
            terms = f"events of {day} in silver that its lines do not make = 0"
            count = sum(difference.count for difference in found.values())
            detail = "; ".join(str(difference.swapped()) for difference in found.values())
            for file in self._bronze.files:
                if file.location in lines and self._bronze.doubt([file.location]) == self._bronze.doubt(
                    lines
                ):
                    yield Law("values", subject_of(self._bronze.shape, file), terms, count, 0, detail)
            return
        yield from self._told(silver, day, found)

    def _unproven(self, day: date, broken: Iterable[str]) -> Law:
        names = ", ".join(sorted(location.rpartition("/")[2] for location in broken))
        detail = f"bronze cannot be read: {names}"
        return Law("values", f"{_SILVER} {day}", "made again from bronze", 1, 0, detail)

    def _laws_of_gold(self, day: date, made_from: int) -> Iterator[Law]:
        session = self._session
        session.view("changed_events", "SELECT *, 1 AS sign FROM events")
        session.view("came", "SELECT * FROM events")
        for name in (*BLOCKS, *_ANSWERS):
            short = name.partition(".")[2]
            one = self._tables.get(name)
            if name in BLOCKS:
                shape = contract(name)
                session.scan("held_hours", shape, [])
                session.scan("held_set", shape, [])
            elif one is None:
                continue
            session.table(short, model_sql(name, session.dialect))
            if one is not None:
                doubt = one.doubt(self._held(one, day))
                found = compare(session, one.shape, short, f"held_{short}")
                # What is intact is not accused by an input that is not.
                if made_from <= max(doubt, NO_DIGEST):
                    yield from self._told(one, day, found)

    def _told(self, one: TableFiles, day: date | None, found: dict[str | None, Difference]) -> Iterator[Law]:
        files = {file.location: file for file in one.files if file.day == day}
        if set(files) & one.broken:
            # The rows of the broken file are all missing; that is said once, of the file.
            found.pop(None, None)
        if not found:
            yield Law("values", " ".join(filter(None, (one.shape.table, str(day or "")))), _TERMS, 0, 0)
        for location, difference in placed(found, files, one.altered).items():
            nowhere = " ".join(filter(None, (one.shape.table, str(day or ""))))
            subject = subject_of(one.shape, files[location]) if location else nowhere
            yield Law("values", subject, _TERMS, difference.count, 0, str(difference))

    def _recount(self, day: date) -> None:
        self._books |= recount_day(
            self._session, "bronze_lines", "events", day, self._live, self._run.dedup_key
        )

    def _laws_of_books(self, books: TableFiles) -> Iterator[Law]:
        counted = {hour: book for hour, book in self._books.items() if book}
        wanted: list[Row] = books_to_table(counted).to_pylist()
        held = [
            (file.location, row)
            for file in books.readable
            for row in read_rows([file.location])
            if row["event_date"] not in self._unproven_days and not self._run.is_closed(row["event_date"])
        ]
        yield from self._told(books, None, compare_rows(wanted, held))
