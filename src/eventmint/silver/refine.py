# ruff: noqa: S608 - statements are composed of the contract's own column names; no value from data is in them
"""Silver: every true event once, whatever the order and number of its deliveries.

`refine` turns what changed in bronze into files for silver.events_cleaned: it reads the new lines, the held
events that may be the same, and nothing else. It decides, the pipeline commits.

How duplicates are found: a hash of the key finds the candidates (few), the full values decide among them, so
that only candidates are ever materialised. With the key `content` the hash is that of the natural key (time,
user, session, type, product) and all nine fields decide; two events that share the natural key but differ
elsewhere both stay and are counted as key conflicts. With a key of the shop's own choice the smallest line by
value survives, never the first to arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from eventmint.contracts import contract, model_sql
from eventmint.engine.protocol import Place, Session
from eventmint.silver.hours import Books, are_valid, read_books
from eventmint.values import EVENT_COLUMNS, NATURAL_KEY

_FIELDS = ", ".join(EVENT_COLUMNS)
_ORDER = ", ".join(f"{column} ASC NULLS LAST" for column in EVENT_COLUMNS)
# An hour with fewer new events goes into one file with the day's other small hours.
_LARGE_HOUR_EVENTS = 50_000


@dataclass(frozen=True)
class Intake:
    """The files that one refinement reads.

    Attributes:
        fresh: bronze files with the lines that came.
        fresh_contents: restrict `fresh` to these contents; None where all lines in the files count.
        held: silver files that may hold the same events.
        held_until: no event in `held` is later; None for no file.
        gone, gone_contents: bronze files and contents that no longer count (a replaced file).
        live, live_contents: bronze files and contents that still count and may hold lines with the keys of
            `gone`.
        between: restrict the lines that came to this closed range of `event_time`; None for all.
    """

    fresh: Sequence[str]
    held: Sequence[str]
    held_until: datetime | None = None
    fresh_contents: Collection[str] | None = None
    gone: Sequence[str] = ()
    gone_contents: Collection[str] = ()
    live: Sequence[str] = ()
    live_contents: Collection[str] = ()
    between: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class Refined:
    """Files to add to silver, locations of files to remove, and what that does to the books per hour."""

    add: Sequence[Place] = ()
    remove: list[str] = field(default_factory=list)
    books: Books = field(default_factory=dict)


def refine(
    session: Session, intake: Intake, key: tuple[str, ...] | None, folder: Place, stem: str
) -> Refined:
    """Write the events that silver lacks, and rewrite files that hold events which no longer count.

    Args:
        key: the columns that make two lines one event; None for all of them.
        folder, stem: where the files go and how their names begin.
    """
    columns = key or NATURAL_KEY
    silver = contract("silver.events_cleaned")
    _prepare(session, intake, columns)
    _find_suspects(session, columns, intake.held_until)
    large_hours = _large_hours(session)
    with session.output(silver, folder, stem, ("event_date", "part")) as output:
        session.view("new_events", session.flagged(_FIELDS, "fresh", "key_hash", "suspects", "is_suspect"))
        output.add(_in_parts(session, large_hours), aside="is_suspect")
        session.view("candidates", f"SELECT {_FIELDS} FROM is_suspect")
        _choose_survivors(session, key)
        session.view("new_events", f"SELECT {_FIELDS}, false AS is_suspect FROM survivors")
        output.add(_in_parts(session, large_hours))
        add = output.close()
    session.scan("written", silver, [str(path) for path in add])
    rewritten, remove = _rewrite(session, folder, stem)
    return Refined([*add, *rewritten], remove, _count(session, key))


def _prepare(session: Session, intake: Intake, columns: Sequence[str]) -> None:
    """Name the inputs: arrived, gone_lines, returned, fresh, held."""
    bronze, silver = contract("bronze.events"), contract("silver.events_cleaned")
    session.scan("fresh_files", bronze, intake.fresh)
    session.scan("gone_files", bronze, intake.gone)
    session.scan("live_files", bronze, intake.live)
    session.scan("held_files", silver, intake.held)
    session.view("arrived", _valid_lines("fresh_files", intake.fresh_contents) + _in_time(session, intake))
    if not intake.gone:
        session.view("gone_lines", f"SELECT {_FIELDS} FROM gone_files")
        session.view("returned", f"SELECT {_FIELDS} FROM live_files")
        session.view("held", f"SELECT {_FIELDS} FROM held_files")
        session.view("withdrawn", f"SELECT {_FIELDS}, amount, _location FROM held_files WHERE false")
    else:
        same_key = _same("gone_lines", "other", columns)
        is_gone = f"EXISTS (SELECT 1 FROM gone_lines WHERE {same_key})"
        session.table("gone_lines", _valid_lines("gone_files", intake.gone_contents))
        session.view("live_lines", _valid_lines("live_files", intake.live_contents))
        session.table("returned", f"SELECT {_FIELDS} FROM live_lines AS other WHERE {is_gone}")
        session.table(
            "withdrawn", f"SELECT {_FIELDS}, amount, _location FROM held_files AS other WHERE {is_gone}"
        )
        session.view("held", f"SELECT {_FIELDS} FROM held_files AS other WHERE NOT {is_gone}")
    pool = (
        f"SELECT {_FIELDS} FROM arrived UNION ALL SELECT {_FIELDS} FROM returned"
        if intake.gone
        else (f"SELECT {_FIELDS} FROM arrived")
    )
    session.view("fresh", f"SELECT {_FIELDS}, {session.row_hash(columns)} AS key_hash FROM ({pool}) AS pool")


def _valid_lines(files: str, contents: Collection[str] | None) -> str:
    condition = "problem IS NULL" if contents is None else are_valid(contents)
    return f"SELECT {_FIELDS} FROM {files} WHERE {condition}"


def _in_time(session: Session, intake: Intake) -> str:
    if intake.between is None:
        return ""
    first, last = map(session.instant, intake.between)
    return f" AND event_time BETWEEN {first} AND {last}"


def _find_suspects(session: Session, columns: Sequence[str], held_until: datetime | None) -> None:
    """Find the hashes that occur more than once: `suspects`; and the held events that have one: `rivals`."""
    fields = f"{_FIELDS}, {session.row_hash(columns)} AS key_hash"
    if "event_time" in columns:
        known = f"event_time <= {session.instant(held_until)}" if held_until else "false"
        lookup = contract("silver.events_cleaned").lookup
        lookup = lookup if lookup in columns else ""
        probed = ", ".join(filter(None, ("event_time", lookup)))
        session.table("probe", f"SELECT DISTINCT {probed} FROM fresh WHERE {known}")
        session.find_at_times("maybe_rivals", fields, "held", "probe", lookup)
    else:
        session.table("probe", "SELECT DISTINCT key_hash FROM fresh")
        session.find_among("maybe_rivals", "*", f"(SELECT {fields} FROM held) AS hashed", "key_hash", "probe")
    session.table(
        "suspects",
        "SELECT key_hash "
        "FROM (SELECT key_hash FROM fresh UNION ALL SELECT key_hash FROM maybe_rivals) AS keys "
        "GROUP BY key_hash HAVING COUNT(*) > 1",
    )
    session.table(
        "rivals",
        f"SELECT {_FIELDS} FROM maybe_rivals WHERE key_hash IN (SELECT key_hash FROM suspects)",
    )


def _in_parts(session: Session, large_hours: Collection[int]) -> str:
    """The model's rows with the part of their day's files they belong to."""
    is_large = f"{session.hour_number('event_time')} IN ({', '.join(map(str, large_hours)) or 'NULL'})"
    model = model_sql("silver.events_cleaned", session.dialect)
    return f"SELECT *, CASE WHEN {is_large} THEN event_hour ELSE -1 END AS part FROM ({model}) AS events"


def _large_hours(session: Session) -> list[int]:
    hour = session.hour_number("event_time")
    found = session.rows(
        f"SELECT {hour} AS hour FROM fresh GROUP BY {hour} HAVING COUNT(*) >= {_LARGE_HOUR_EVENTS}"
    )
    return [row["hour"] for row in found]


def _choose_survivors(session: Session, key: tuple[str, ...] | None) -> None:
    """Decide by value among the suspects: `survivors` are new events, `losers` are held ones that go."""
    if key is None:
        session.table(
            "survivors", f"SELECT DISTINCT {_FIELDS} FROM candidates EXCEPT SELECT {_FIELDS} FROM rivals"
        )
        session.table("losers", f"SELECT {_FIELDS} FROM rivals WHERE false")
        return
    # The smallest line of each key survives; a held event that is not the smallest loses its place.
    session.table(
        "ranked",
        f"SELECT {_FIELDS}, is_held, "
        f"ROW_NUMBER() OVER (PARTITION BY {', '.join(key)} ORDER BY {_ORDER}, is_held DESC) AS place "
        f"FROM (SELECT {_FIELDS}, 0 AS is_held FROM candidates "
        f"UNION ALL SELECT {_FIELDS}, 1 AS is_held FROM rivals) AS contenders",
    )
    session.table("survivors", f"SELECT {_FIELDS} FROM ranked WHERE place = 1 AND is_held = 0")
    session.table("losers", f"SELECT {_FIELDS} FROM ranked WHERE place > 1 AND is_held = 1")


def _rewrite(session: Session, folder: Place, stem: str) -> tuple[list[Place], list[str]]:
    """Write anew, without the events that lost their place, each held file that has some."""
    silver = contract("silver.events_cleaned")
    session.view("dropped", f"SELECT {_FIELDS} FROM withdrawn UNION ALL SELECT {_FIELDS} FROM losers")
    matches = _same("dropped", "held_files", EVENT_COLUMNS)
    touched = (
        session.rows(
            f"SELECT DISTINCT _location FROM held_files WHERE EXISTS (SELECT 1 FROM dropped WHERE {matches}) "
            "ORDER BY _location"
        )
        if session.rows("SELECT 1 AS any_row FROM dropped LIMIT 1")
        else []
    )
    locations = [row["_location"] for row in touched]
    rewritten: list[Place] = []
    for number, location in enumerate(locations):
        session.scan("one_file", silver, [location])
        matches = _same("dropped", "one_file", EVENT_COLUMNS)
        keep = f"SELECT * FROM one_file WHERE NOT EXISTS (SELECT 1 FROM dropped WHERE {matches})"
        rewritten += session.write(keep, silver, folder, f"{stem}-kept{number}", ("event_date",))
    return rewritten, locations


def _count(session: Session, key: tuple[str, ...] | None) -> Books:
    """What the refinement does to the books, per hour, each term counted from its own rows."""
    conflicts = "SELECT event_time, 0 AS n FROM survivors WHERE false"
    if key is None:
        natural = ", ".join(NATURAL_KEY)

        def beyond_first(source: str, sign: int) -> str:
            return (
                f"SELECT event_time, {sign} * (COUNT(*) - 1) AS n FROM ({source}) AS twins GROUP BY {natural}"
            )

        after = f"SELECT {_FIELDS} FROM rivals UNION ALL SELECT {_FIELDS} FROM survivors"
        before = f"SELECT {_FIELDS} FROM rivals UNION ALL SELECT {_FIELDS} FROM withdrawn"
        conflicts = f"{beyond_first(after, 1)} UNION ALL {beyond_first(before, -1)}"
    terms = {
        "valid": [("1", "arrived"), ("-1", "gone_lines")],
        "events": [("1", "written"), ("-1", "dropped")],
        "duplicates": [
            ("1", "candidates"),
            ("-1", "survivors"),
            ("1", "losers"),
            ("-1", "gone_lines"),
            ("-1", "returned"),
            ("1", "withdrawn"),
        ],
    }
    return read_books(session, terms, conflicts, "written", "dropped")


def _same(left: str, right: str, columns: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{column} IS NOT DISTINCT FROM {right}.{column}" for column in columns)
