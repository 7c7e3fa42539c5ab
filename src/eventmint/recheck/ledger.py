"""Bronze against the ledger: lines, verdicts, reasons and times per content; entries against footers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from eventmint.bronze.land import counts_to_json, entries_in
from eventmint.bronze.ledger import Ledger, entries_from_rows, is_newer, newest
from eventmint.contracts import contract
from eventmint.engine.parquet import read_rows
from eventmint.engine.protocol import Session
from eventmint.recheck.differences import compare_rows, placed
from eventmint.recheck.files import TableFiles, subject_of
from eventmint.tables.plan import seq_of
from eventmint.values import Law, LedgerEntry

_GROUP = (
    "SELECT source_sha256, _location, source_file, received_at, "
    "SUM(CASE WHEN problem IS NULL THEN 1 ELSE 0 END) AS valid, "
    "SUM(CASE WHEN problem IS NULL THEN 0 ELSE 1 END) AS quarantined, "
    "MIN(event_time) AS first, MAX(event_time) AS last "
    "FROM lines GROUP BY source_sha256, _location, source_file, received_at"
)


@dataclasses.dataclass
class _Content:
    """What the rows of bronze say of one content of a file."""

    valid: int = 0
    quarantined: int = 0
    origins: set[tuple[Any, Any]] = dataclasses.field(default_factory=set)
    times: list[Any] = dataclasses.field(default_factory=list)
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    locations: set[str] = dataclasses.field(default_factory=set)


def ledger_of(ledger: TableFiles, bronze: TableFiles) -> tuple[Ledger, list[Law]]:
    """Return the ledger with the laws between it and the entries in the footers of bronze's files.

    What a footer says goes before what the ledger does: it lies in a file that is known to be sound.
    """
    held = [
        (file.location, entry)
        for file in ledger.readable
        for entry in entries_from_rows(read_rows([file.location]))
    ]
    notes = _notes(bronze)
    for _, entry in held:
        # Another program may have laid a content into several files: one that no replay has touched since
        # says what was so before.
        if entry.sha256 in notes and is_newer(entry, notes[entry.sha256]):
            del notes[entry.sha256]
    keys = {_key(entry) for entry in notes.values()}
    others = (
        entry
        for _, entry in held
        if _key(entry) not in keys and not (entry.has_lines and entry.sha256 in notes)
    )
    entries = dict.fromkeys((*notes.values(), *others))
    return Ledger(entries), [*_laws_of_notes(ledger, held, notes), *_laws_of_replays(ledger, held)]


def _key(entry: LedgerEntry) -> tuple[str, str, int]:
    return entry.path, entry.version, entry.seq


def _notes(bronze: TableFiles) -> dict[str, LedgerEntry]:
    """The entries in the footers of bronze's files, by their content."""
    sound = (file.location for file in bronze.files if file.location not in bronze.altered)
    found: list[LedgerEntry] = []
    for location in sound:
        # A file without a digest may have a note that nobody has written.
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found += entries_in(location)
    return {str(entry.sha256): entry for entry in newest(found)}


def _laws_of_notes(
    ledger: TableFiles, entries: list[tuple[str, LedgerEntry]], notes: dict[str, LedgerEntry]
) -> Iterator[Law]:
    """Each entry with lines against the one in its bronze file; the ledger may lag behind a crash."""
    seq = seq_of(ledger.table)
    # After a replay that the ledger does not know, it says more of what was replayed than is left of it.
    ahead = {entry.replayed_from for entry in notes.values() if entry.seq > seq}
    wanted = [
        dataclasses.asdict(entry)
        for entry in notes.values()
        if entry.seq <= seq and entry.sha256 not in ahead
    ]
    held = [
        (location, dataclasses.asdict(entry))
        for location, entry in entries
        if entry.has_lines
        and (entry.sha256 in notes or entry.seq > seq)
        and not (entry.seq <= seq and entry.sha256 in ahead)
    ]
    found = placed(compare_rows(wanted, held), (file.location for file in ledger.files), ledger.altered)
    files = {file.location: file for file in ledger.files}
    terms = "entries that differ from bronze's footers = 0"
    if not found:
        yield Law("values", ledger.shape.table, terms, 0, 0)
    for location, difference in found.items():
        subject = subject_of(ledger.shape, files[location]) if location else ledger.shape.table
        yield Law("values", subject, terms, difference.count, 0, str(difference))


def _laws_of_replays(ledger: TableFiles, entries: list[tuple[str, LedgerEntry]]) -> Iterator[Law]:
    """Each entry that says which batch has changed it last, against the entries of replays, forgettings and
    retentions.

    One that names a batch that never was would go before what the footer says of the same content.
    """
    replays = {(entry.replayed_from, entry.seq) for _, entry in entries if entry.replayed_from}
    removals = {entry.seq for _, entry in entries if entry.status in ("forgotten", "retained")}
    false = Counter(
        location
        for location, entry in entries
        if entry.judged_seq is not None
        and entry.judged_seq not in removals
        and (entry.sha256, entry.judged_seq) not in replays
    )
    for file in ledger.files:
        if count := false[file.location]:
            subject = subject_of(ledger.shape, file)
            yield Law("values", subject, "entries judged by a replay that is not there = 0", count, 0)


def laws_of_bronze(session: Session, bronze: TableFiles, ledger: Ledger) -> Iterator[Law]:
    """The rows of every content against its entry."""
    held = _contents(session, bronze)
    landed = {
        str(entry.sha256): entry
        for entry in ledger.entries
        if entry.has_lines and entry.valid + entry.quarantined
    }
    files = {file.location: file for file in bronze.files}
    by_stem = {file.stem: file.location for file in bronze.files}
    nothing = _Content()
    # Of a merged file that nobody can read, nobody knows whose lines it held.
    is_unknown = bool(bronze.broken - {by_stem.get(sha) for sha in landed})
    for sha in sorted(held.keys() | landed.keys()):
        content = held.get(sha, nothing)
        entry = landed.get(sha)
        locations = content.locations or ({by_stem[sha]} if sha in by_stem else set())
        if locations & bronze.broken or (is_unknown and not locations):
            continue  # named already, and nothing can be said of its rows
        subject = " and ".join(subject_of(bronze.shape, files[location]) for location in sorted(locations))
        for terms, left, right, detail in _terms(entry, content):
            yield Law("rows", subject or f"{bronze.shape.table} {sha}", terms, left, right, detail)


def _terms(entry: LedgerEntry | None, content: _Content) -> Iterator[tuple[str, int, int, str]]:
    yield "valid lines noted = valid lines held", entry.valid if entry else 0, content.valid, ""
    noted = entry.quarantined if entry else 0
    yield "quarantined lines noted = quarantined lines held", noted, content.quarantined, ""
    if entry is None or not content.locations:
        return
    for terms, wanted, there in (
        ("origins that differ from the ledger = 0", {(entry.path, entry.received_at)}, content.origins),
        (
            "event times that differ from the ledger = 0",
            (entry.first_event_time, entry.last_event_time),
            (min(content.times, default=None), max(content.times, default=None)),
        ),
        ("reasons that differ from the ledger = 0", entry.reasons, counts_to_json(content.reasons)),
    ):
        detail = "" if wanted == there else f"there is {there}, should be {wanted}"
        yield terms, int(wanted != there), 0, detail


def _contents(session: Session, bronze: TableFiles) -> dict[str, _Content]:
    session.scan("lines", contract("bronze.events"), [file.location for file in bronze.readable])
    found: dict[str, _Content] = defaultdict(_Content)
    for row in session.rows(_GROUP):
        content = found[row["source_sha256"]]
        content.valid += int(row["valid"])
        content.quarantined += int(row["quarantined"])
        content.origins.add((row["source_file"], row["received_at"]))
        content.times += [time for time in (row["first"], row["last"]) if time]
        content.locations.add(row["_location"])
    problems = session.rows(
        "SELECT source_sha256, problem, COUNT(*) AS n FROM lines WHERE problem IS NOT NULL "
        "GROUP BY source_sha256, problem"
    )
    for row in problems:
        for reason in row["problem"].split(", "):
            found[row["source_sha256"]].reasons[reason] += row["n"]
    return found
