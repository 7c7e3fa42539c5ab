"""The values that stages hand to each other: frozen, typed, free of behaviour that needs an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

# The contract's fields, in the order in which a line is judged and an event is compared.
EVENT_FIELDS = (
    "timestamp",
    "user_id",
    "session_id",
    "event_type",
    "product_id",
    "category",
    "quantity",
    "price",
    "search_query",
)
# The same fields as columns of bronze and silver.
EVENT_COLUMNS = ("event_time", *EVENT_FIELDS[1:])
# Two events that agree in these but differ elsewhere are honest twins: kept, and counted as key conflicts.
NATURAL_KEY = ("event_time", "user_id", "session_id", "event_type", "product_id")
EVENT_TYPES = ("page_view", "add_to_cart", "remove_from_cart", "purchase", "search")
CART_EVENTS = frozenset({"add_to_cart", "remove_from_cart", "purchase"})
ALWAYS_REQUIRED = frozenset({"timestamp", "user_id", "session_id", "event_type"})
# Reasons of lines that are as they should be, and no event of the funnel: kept and counted, nothing to mend.
# Of an event that comes for a day of which retention has removed the lines.
PAST_RETENTION = "past_retention"
EXPECTED_REASONS = frozenset({"event_type_ignored", "csv_header", PAST_RETENTION})
# What a shop may keep for some days only; all but the quarantine is made from the one before.
LAYERS = ("bronze", "quarantine", "silver", "gold")

# A step into a JSON value: the member of an object by its name, the element of an array by its position, or
# the first object of an array whose member (first) has a value (second).
JsonPath = tuple[str | int | tuple[str, str], ...]


@dataclass(frozen=True)
class FieldSource:
    """Where a line of another format says what a field of the contract is.

    Attributes:
        paths: looked at in this order; the first value that is there is taken.
        joined_by: where it is not None, the values of all paths are taken, with this text between them.
        kind: how the value is read: `as_is`, `text`, `number`, or a time as `sql`, `s`, `ms`, `us`.
        default: the value where nothing is there.
    """

    paths: tuple[JsonPath, ...] = ()
    joined_by: str | None = None
    kind: str = "as_is"
    default: str | int | Decimal | None = None


Fields = tuple[tuple[str, FieldSource], ...]


@dataclass(frozen=True)
class EventMapping:
    """How the lines of another format say what the contract asks for.

    Attributes:
        columns: of the CSV record on each line; none: a JSON object on each.
        delimiter: of CSV.
        nothing: texts that stand for no value.
        event_name: where a line says which event it is.
        event_types: its names of events with ours; None for what is no event of the funnel.
        fields: where a line says the other fields of the contract.
        items: the array of products, each of which is an event.
        item_events: the event types, in our words, whose array is looked at.
        item_fields: the fields that each product says, instead of the line.
        declared: the declaration that all this was read from, as JSON.
    """

    columns: tuple[str, ...]
    delimiter: str
    nothing: frozenset[str]
    event_name: FieldSource
    event_types: tuple[tuple[str, str | None], ...]
    fields: Fields
    items: JsonPath
    item_events: frozenset[str]
    item_fields: Fields
    declared: str


@dataclass(frozen=True)
class EventRules:
    """The part of the event contract that a shop may set.

    Attributes:
        event_types: the names an event may have; anything else is `event_type_unknown`.
        optional: fields of `user_id`, `session_id` that may be missing.
        max_line_bytes: a longer line is quarantined as `line_too_long` without being parsed.
        mapping: how lines are read that are no events as the contract writes them.
        earliest_us: an event of before is `past_retention`, UTC microseconds.
    """

    event_types: tuple[str, ...] = EVENT_TYPES
    optional: frozenset[str] = frozenset()
    max_line_bytes: int = 1 << 20
    mapping: EventMapping | None = None
    earliest_us: int = 0


@dataclass(frozen=True)
class SourceFile:
    """One file as the listing showed it.

    Attributes:
        path: absolute; the file's name in the ledger (ADR 0003).
        location: where to open it.
        version: changes when the file does (size and modification time; an ETag on S3).
        size_bytes: compressed size.
        received_at: UTC, from the path's own time, else the file's.
    """

    path: str
    location: str
    version: str
    size_bytes: int
    received_at: datetime


@dataclass(frozen=True)
class DayRange:
    """UTC days from `start` to before `end`; None where a side is open.

    Attributes:
        start: the first day.
        end: the day after the last.
    """

    start: date | None = None
    end: date | None = None

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and (
            (self.start is None or self.start <= day) and (self.end is None or day < self.end)
        )

    def __str__(self) -> str:
        if self.is_all:
            return "all days"
        last = self.end and self.end - timedelta(days=1)
        if self.start and last:
            return f"days {self.start} to {last}"
        return f"days from {self.start}" if self.start else f"days to {last}"

    @property
    def is_all(self) -> bool:
        """Whether both sides are open."""
        return self.start is None and self.end is None

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """The first and last instant at which an event may be."""
        first = datetime.combine(self.start or date(1970, 1, 1), time.min, UTC)
        last = (self.end or date.max) - timedelta(days=1)
        return first, datetime.combine(last, time.max, UTC)


@dataclass(frozen=True)
class LedgerEntry:
    """What became of one version of one source file: a row of bronze.ingested_files.

    `status` is `landed`, `same_content` (the bytes were landed before, under this or another path),
    `set_aside` (unreadable; `reason` says why; tried again when the file changes) or `replayed`: no file of
    its own but lines of the content `replayed_from` that were quarantined and are valid now. They count as
    long as that content does, and are counted here instead of there. `restated` is no file at all: a batch
    that makes silver and gold anew from bronze for the days from `restated_from` to before `restated_to`.
    `forgotten` is none either: a batch that takes people out of everything; the days that it makes anew are
    `restated` entries of the same batch. Nor is `retained`: a batch that removes what a layer (its path: one
    of LAYERS) has of before a day.

    Attributes:
        path: the file's name in the ledger; of a replay or a restatement its own.
        version: which version of it: changes when the file does.
        size_bytes: compressed size.
        sha256: of the compressed bytes; None where they could not be read.
        received_at: UTC, from the path's own time, else the file's.
        status: what became of it, see above.
        reason: why it was set aside.
        lines, blank, valid, quarantined: the terms of the first law; rows of bronze are the last two.
        first_event_time, last_event_time: of its valid lines, UTC.
        unknown_fields: a JSON object: fields that the contract does not know, how many lines have each.
        reasons: a JSON object: reasons of quarantine, how many lines have each.
        batch: name of the batch that brought it.
        seq: number of that batch.
        replayed_from: the content whose lines were judged again.
        judged_seq: the batch that has last changed what is said of the lines of a landed file.
        restated_from, restated_to: days that are made anew, half-open; None where a side is open.
        lines_suppressed: lines of people who were forgotten, left out and counted.
        valid_retained, quarantined_retained: rows that retention removed from bronze, counted.
        retained_before: the day before which retention removed a layer's rows; of `retained` alone, whose
            `valid` are those of the lines it removed that had counted.
    """

    path: str
    version: str
    size_bytes: int
    sha256: str | None
    received_at: datetime
    status: str
    reason: str | None = None
    lines: int = 0
    blank: int = 0
    valid: int = 0
    quarantined: int = 0
    first_event_time: datetime | None = None
    last_event_time: datetime | None = None
    unknown_fields: str | None = None
    reasons: str | None = None
    batch: str = ""
    seq: int = 0
    replayed_from: str | None = None
    judged_seq: int | None = None
    restated_from: date | None = None
    restated_to: date | None = None
    lines_suppressed: int | None = None
    valid_retained: int | None = None
    quarantined_retained: int | None = None
    retained_before: date | None = None

    @property
    def is_of_file(self) -> bool:
        """Whether a version of a source file stands behind it: no replay, no batch without a line."""
        return self.replayed_from is None and self.status not in ("restated", "forgotten", "retained")

    @property
    def lines_retained(self) -> int:
        """Rows that retention removed from bronze."""
        return (self.valid_retained or 0) + (self.quarantined_retained or 0)

    @property
    def restated_days(self) -> DayRange | None:
        """The days that the batch makes anew; None for a file or a replay."""
        return DayRange(self.restated_from, self.restated_to) if self.status == "restated" else None

    @property
    def has_lines(self) -> bool:
        """Whether lines of bronze are counted here and nowhere else."""
        return self.status in ("landed", "replayed")


def is_cut(raw: bytes, extra: str | None) -> bool:
    """Whether a quarantined line was too long to be kept whole: then `extra` tells how long it was."""
    return extra is not None and len(raw) < int(json.loads(extra)["raw_bytes"])


@dataclass(frozen=True)
class Law:
    """One equation of the books.

    Attributes:
        name: which law (`lines`, `rows`, `events`, `answers`, `money`).
        subject: the table and the day or file it speaks of.
        terms: the two sides in words, for example `lines = blank + valid + quarantined`.
        left, right: the two sides in numbers; the law holds when they are equal.
        detail: where it does not, what is there and what should be.
    """

    name: str
    subject: str
    terms: str
    left: int | Decimal
    right: int | Decimal
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether both sides are equal."""
        return self.left == self.right

    def __str__(self) -> str:
        verdict = "holds" if self.holds else f"broken by {self.left - self.right}"
        said = f"{self.subject}: {self.terms}: {self.left} = {self.right} {verdict}"
        return f"{said}: {self.detail}" if self.detail else said


@dataclass(frozen=True)
class Totals:
    """The terms of the laws over a set of files: lines = blank + valid + quarantined + suppressed,
    valid = events + duplicates. They tell what came, also where retention has removed it since.

    Attributes:
        lines: all of them, counted from the decompressed bytes.
        blank: lines of nothing but white space.
        valid: lines that keep the contract.
        quarantined: lines that break it, set aside with every reason.
        suppressed: lines of people who were forgotten.
        retained: of the valid and quarantined lines those that retention removed from bronze.
        events: true events: valid lines, each once.
        duplicates: valid lines that say again what another says.
        key_conflicts: events that share user, session, time, type and product, and differ elsewhere.
    """

    lines: int = 0
    blank: int = 0
    valid: int = 0
    quarantined: int = 0
    events: int = 0
    duplicates: int = 0
    key_conflicts: int = 0
    suppressed: int = 0
    retained: int = 0

    def __add__(self, other: Totals) -> Totals:
        terms = asdict(self)
        return Totals(**{name: count + getattr(other, name) for name, count in terms.items()})

    def __sub__(self, other: Totals) -> Totals:
        terms = asdict(self)
        return Totals(**{name: count - getattr(other, name) for name, count in terms.items()})


def bad_lines(quarantined: int, by_reason: Mapping[str, int]) -> int:
    """How many of the quarantined lines are there against expectation; an expected reason stands alone."""
    return quarantined - sum(by_reason.get(reason, 0) for reason in EXPECTED_REASONS)


@dataclass(frozen=True)
class Written:
    """What a run did to one table.

    Attributes:
        files, size_bytes: data files that it added, also those that a later batch of it replaced again.
        removed_files, removed_bytes: data files that it took out of the table.
        days: UTC days of the partitions whose files came or went; none in a table without partitions.
    """

    files: int = 0
    size_bytes: int = 0
    removed_files: int = 0
    removed_bytes: int = 0
    days: tuple[date, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """What one run did.

    Attributes:
        run_id: time-ordered name of the run, as in `ops.runs`.
        started_at: UTC.
        seconds: wall time.
        seq: number of the last batch that the lake includes.
        checked_seq: number of the last batch up to which the laws hold.
        files_landed, files_same_content, files_set_aside, files_replaced: new file versions by outcome.
        files_unsettled: files still being written, left for the next run.
        lines_replayed: lines that left the quarantine.
        restated: the days that were made anew from bronze, in words, for each restatement.
        source: where its files came from; empty where it looked for none.
        rolled_back_to: the run whose state was brought back; empty where none was.
        forgotten: how many times people were taken out of everything.
        retained: what retention removed, in words, for each layer.
        totals: the terms of the laws for what this run changed: lines that it took in, and lines that left
            the quarantine, which are valid more and quarantined less; negative for what was rolled back.
        lake: the same terms for the whole lake after the run.
        quarantined_by_reason: lines of this run that have each reason.
        set_aside: path and reason of each file that could not be read.
        skipped: path and reason of what looked like a file to read and is none (symlink, folder, pipe).
        days: UTC days of events whose answers changed.
        hours: UTC hours whose books changed, such as `2026-01-15T10`.
        wrote: by table what this run wrote; not its own record, nor what maintenance lays together.
        read_bytes: size of the files that this run read: by table, each file once, and as `source`.
        laws: every equation that was checked.
        changed: False for an empty run, which writes nothing.
    """

    run_id: str
    started_at: datetime
    seconds: float = 0.0
    seq: int = 0
    checked_seq: int = 0
    files_landed: int = 0
    files_same_content: int = 0
    files_set_aside: int = 0
    files_replaced: int = 0
    files_unsettled: int = 0
    lines_replayed: int = 0
    restated: tuple[str, ...] = ()
    source: str = ""
    rolled_back_to: str = ""
    forgotten: int = 0
    retained: tuple[str, ...] = ()
    totals: Totals = field(default_factory=Totals)
    lake: Totals = field(default_factory=Totals)
    quarantined_by_reason: dict[str, int] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    days: tuple[date, ...] = ()
    hours: tuple[str, ...] = ()
    wrote: dict[str, Written] = field(default_factory=dict)
    read_bytes: dict[str, int] = field(default_factory=dict)
    laws: tuple[Law, ...] = ()
    changed: bool = False

    @property
    def laws_hold(self) -> bool:
        """Whether every equation that was checked holds."""
        return all(law.holds for law in self.laws)

    @property
    def quarantine_rate(self) -> float:
        """The share of this run's lines that are bad; lines that are no event by rights are left out."""
        bad = bad_lines(self.totals.quarantined, self.quarantined_by_reason)
        judged = self.totals.valid + bad
        return bad / judged if judged else 0.0


@dataclass(frozen=True)
class Replay:
    """What judging the quarantine again did, or with `dry_run` would do.

    Attributes:
        judged: lines that were judged again.
        passed: those that left the quarantine.
        other_reasons: those that stay in it for other reasons than before.
        cut: lines of which only the first bytes were kept, so that nobody can judge them again.
        by_reason: judged lines by each reason that they had, and how many of them passed.
        files: source files of the lines that changed.
        days: UTC days of the events that passed.
        damaged: files of bronze that are not what was written; they were left alone.
        dry_run: True for a plan, which changes nothing.
        seconds: wall time.
    """

    judged: int = 0
    passed: int = 0
    other_reasons: int = 0
    cut: int = 0
    by_reason: dict[str, dict[str, int]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    days: tuple[date, ...] = ()
    damaged: tuple[str, ...] = ()
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether any line has left the quarantine, or is in it for other reasons."""
        return bool(self.passed or self.other_reasons)


@dataclass(frozen=True)
class Restatement:
    """What making days anew from bronze did, or with `dry_run` would do.

    Attributes:
        range: the days that were asked for, in words.
        days: UTC days that have a line or a row.
        lines: valid lines of bronze that are read for them.
        bytes_read: size of the files of bronze that hold these lines.
        replaced: files and bytes that go, by table.
        events: how many more events there are than before (negative: fewer); 0 in a plan.
        dry_run: True for a plan, which changes nothing.
        seconds: wall time.
    """

    range: str
    days: tuple[date, ...] = ()
    lines: int = 0
    bytes_read: int = 0
    replaced: dict[str, dict[str, int]] = field(default_factory=dict)
    events: int = 0
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether there was a day to make anew."""
        return bool(self.days)


@dataclass(frozen=True)
class Backfill:
    """What taking in the files of some days did, or with `dry_run` would do.

    Attributes:
        source: where they lie.
        range: the days in which they were received, in words.
        files, size_bytes: those that were not known yet.
        batches: how many runs took them in.
        files_landed, files_same_content, files_set_aside, files_replaced: what became of them.
        totals, quarantined_by_reason: as of a run, of all these runs together.
        days: UTC days of events whose answers changed.
        dry_run: True for a plan, which changes nothing.
        seconds: wall time.
    """

    source: str
    range: str
    files: int = 0
    size_bytes: int = 0
    batches: int = 0
    files_landed: int = 0
    files_same_content: int = 0
    files_set_aside: int = 0
    files_replaced: int = 0
    totals: Totals = field(default_factory=Totals)
    quarantined_by_reason: dict[str, int] = field(default_factory=dict)
    days: tuple[date, ...] = ()
    dry_run: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Rollback:
    """What a rollback did, or with `dry_run` would do.

    Attributes:
        to: the run whose state is brought back.
        seq: the last batch of that state.
        runs: the later runs, oldest first, whose work is undone.
        files: source files that are no longer known, so that the next run takes them in again.
        files_back: source files that are known again, where an earlier rollback is undone.
        days: UTC days of events whose answers change.
        totals: what the terms of the laws change by.
        changed: False where the lake is as that run left it.
        dry_run: True for a plan, which changes nothing.
        seconds: wall time.
    """

    to: str
    seq: int
    runs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    files_back: tuple[str, ...] = ()
    days: tuple[date, ...] = ()
    totals: Totals = field(default_factory=Totals)
    changed: bool = False
    dry_run: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class ForgottenSource:
    """A source file that holds lines of forgotten people, or held them.

    Attributes:
        path: its name in the ledger.
        lines: how many were removed from it; None where it was left as it is.
        version: what the ledger knows it by from then on; empty where it has not learnt it.
    """

    path: str
    lines: int | None = None
    version: str = ""


@dataclass(frozen=True)
class Forgetting:
    """What forgetting people did, or with `dry_run` would do. No id is in it, only keyed hashes.

    Attributes:
        at: when it was asked for, UTC.
        users: how many people were named.
        hashes: the keyed hashes of their ids, in order.
        new: how many of them were not on the list of forgotten people yet.
        unknown: how many of them have no line in the lake.
        valid, quarantined: rows of bronze that go.
        closed: events of theirs that go of days whose lines retention has removed.
        days: UTC days whose events and answers are made anew.
        files: files of bronze that are written again.
        sources: source files, still there, that hold lines of forgotten people, or were written without them.
        seq, batch: of the batch; 0 and empty in a plan, and where nothing changed.
        rows: how many fewer rows each table has that has other ones than before.
        dry_run: whether nothing was written.
        seconds: how long it took.
    """

    at: datetime
    users: int
    hashes: tuple[str, ...]
    new: int = 0
    unknown: int = 0
    valid: int = 0
    quarantined: int = 0
    closed: int = 0
    days: tuple[date, ...] = ()
    files: int = 0
    sources: tuple[ForgottenSource, ...] = ()
    seq: int = 0
    batch: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def lines(self) -> int:
        """Lines that go: rows of bronze, and events whose lines retention has removed."""
        return self.valid + self.quarantined + self.closed

    @property
    def changed(self) -> bool:
        """Whether the list of forgotten people or any table has changed."""
        return bool(self.new or self.lines)


@dataclass(frozen=True)
class RetainedLayer:
    """What retention removes from one layer.

    Attributes:
        layer: one of LAYERS.
        before: the first UTC day that stays: of events, in the quarantine of receipt.
        rows, files, size_bytes: rows that go, in files of this size. A file of bronze that holds others, too,
            is written again with these.
        days: how many of the rows are of which day.
    """

    layer: str
    before: date
    rows: int = 0
    files: int = 0
    size_bytes: int = 0
    days: dict[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Retention:
    """What retention did, or with `dry_run` would do.

    Attributes:
        newest_day: UTC day of the newest event, from which the days of `[retention]` count; None for none.
        layers: those that `[retention]` limits.
        seq: of the batch; 0 in a plan, and where nothing was due.
        damaged: files of bronze that are not what was written: then nothing is removed.
        purged: whether every earlier state went, too.
        dry_run: True for a plan, which changes nothing.
        seconds: wall time.
    """

    newest_day: date | None = None
    layers: tuple[RetainedLayer, ...] = ()
    seq: int = 0
    damaged: tuple[str, ...] = ()
    purged: bool = False
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Rows of all layers that go."""
        return sum(layer.rows for layer in self.layers)

    @property
    def changed(self) -> bool:
        """Whether anything is due."""
        return bool(self.rows)


@dataclass(frozen=True)
class TableMaintenance:
    """What maintenance did to one table.

    Attributes:
        table: its name, such as `gold.user_activity`.
        files_before, files_after, bytes_before, bytes_after: its live data files.
        snapshots_expired: old states that were forgotten.
        files_expired: files that only those knew, and that were removed with them.
        orphans_removed, orphan_bytes: files that nothing knew.
    """

    table: str
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    snapshots_expired: int = 0
    files_expired: int = 0
    orphans_removed: int = 0
    orphan_bytes: int = 0

    @property
    def changed(self) -> bool:
        """Whether files were laid together or removed, or states forgotten."""
        return bool(self.files_before != self.files_after or self.snapshots_expired or self.orphans_removed)


@dataclass(frozen=True)
class Maintenance:
    """What maintenance did, or with `dry_run` would do (sizes after a merge are then those before it).

    Attributes:
        tables: every table of the lake.
        is_complete: False where the time was up; the rest is done the next time.
        damaged: files that were left alone because they are not what was written.
        rows_retained: rows of all layers that retention removed first.
        dry_run: True for a plan, which changes nothing.
        seconds: wall time.
    """

    tables: tuple[TableMaintenance, ...] = ()
    is_complete: bool = True
    dry_run: bool = False
    damaged: tuple[str, ...] = ()
    rows_retained: int = 0
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether any table has changed."""
        return bool(self.rows_retained) or any(table.changed for table in self.tables)
