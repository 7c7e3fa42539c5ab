"""Bronze: every line of one file, once, good or bad, as one Parquet file that no table knows yet.

A pure function of the file's bytes, the rules, the run's time and the number of threads, which decides the
order of rows alone: any engine may run it anywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from eventmint.bronze.mapped import MappedParser
from eventmint.bronze.parse import KEPT_RAW_BYTES, WHITE_SPACE, BlockParser, LineParser
from eventmint.contracts import contract
from eventmint.engine.parquet import TableFile, notes_of
from eventmint.suppression import Suppression
from eventmint.values import EventRules, LedgerEntry

BLOCK_BYTES = 2 << 20
# A block of the shortest lines would have millions, and what is made of each of them is far larger.
BLOCK_LINES = 1 << 15
# What a file's footer says of the one source file whose lines it holds, and a merged file's of several.
FOOTER_KEY = "eventmint.entry"
MERGED_FOOTER_KEY = "eventmint.entries"
_BOM = b"\xef\xbb\xbf"
_NEWLINE = b"\n"


@dataclass(frozen=True)
class Landing:
    """What is known of a file before it is read, and where its rows go.

    Attributes:
        entry: the ledger entry to be, with path, version, sha256, received_at, batch and seq.
        location: where the file can be opened.
        staging: folder for the Parquet file, which is named by the content's hash.
        latest_us: the latest instant an event may have, UTC microseconds.
        threads: how many blocks of lines are parsed at once.
        suppression: whose lines are left out; None for nobody's.
    """

    entry: LedgerEntry
    location: str
    staging: str
    rules: EventRules
    latest_us: int
    threads: int = 1
    suppression: Suppression | None = None


@dataclass(frozen=True)
class Landed:
    """The outcome: the entry with its counts, and the Parquet file (None for a file without lines)."""

    entry: LedgerEntry
    parquet: str | None = None

    @property
    def reasons(self) -> dict[str, int]:
        """Lines per reason."""
        found: dict[str, int] = json.loads(self.entry.reasons or "{}")
        return found


@dataclass
class LeftOut:
    """Rows of forgotten people that were not written, by verdict, and the unknown fields that they had."""

    valid: int = 0
    quarantined: int = 0
    unknown_fields: Counter[str] = field(default_factory=Counter)


@dataclass
class TooLongLine:
    """A line that did not fit into memory's bound: its start, its size and the hash of all of it."""

    start: bytes
    size: int
    sha256: str
    is_blank: bool = False


def land(landing: Landing, chunks: Iterable[bytes], folder: Path) -> Landed:
    """Write the lines of a decompressed file as rows of bronze into a folder of this machine.

    Args:
        chunks: the decompressed bytes; the iterator raises at the end if they were not intact, and then
            nothing of the file remains.
    """
    parsers = [_parser_of(landing) for _ in range(landing.threads)]
    target = folder / f"{landing.entry.sha256}.parquet"
    output = TableFile(target, contract("bronze.events"))
    reasons: Counter[str] = Counter()
    left_out = LeftOut()
    first: datetime | None = None
    last: datetime | None = None
    try:
        blocks = blocks_of_lines(chunks, landing.rules.max_line_bytes)
        for judged in _rows_of_blocks(blocks, parsers):
            rows = _without_forgotten(judged, landing.suppression, left_out)
            bounds = pc.min_max(rows["event_time"]).as_py()
            first = min(filter(None, (first, bounds["min"])), default=None)
            last = max(filter(None, (last, bounds["max"])), default=None)
            reasons.update(reasons_of(rows))
            output.write(_with_origin(rows, landing.entry))
        entry = dataclasses.replace(
            landing.entry,
            status="landed",
            lines=sum(parser.line_count for parser in parsers),
            blank=sum(parser.blank_count for parser in parsers),
            valid=sum(parser.valid_count for parser in parsers) - left_out.valid,
            quarantined=sum(parser.quarantined_count for parser in parsers) - left_out.quarantined,
            lines_suppressed=left_out.valid + left_out.quarantined or None,
            first_event_time=first,
            last_event_time=last,
            unknown_fields=counts_to_json(
                sum((parser.unknown_fields for parser in parsers), Counter[str]()) - left_out.unknown_fields
            ),
            reasons=counts_to_json(reasons),
        )
        if output.rows == 0:
            output.discard()
            return Landed(entry)
        return Landed(entry, str(output.close({FOOTER_KEY: entry_to_json(entry)})))
    except BaseException:
        output.discard()
        raise
    finally:
        for parser in parsers:
            parser.close()


def _parser_of(landing: Landing) -> LineParser:
    mapping = landing.rules.mapping
    if mapping is None:
        return BlockParser(landing.rules, landing.latest_us)
    return MappedParser(landing.rules, mapping, landing.latest_us)


def _rows_of_blocks(
    blocks: Iterable[bytes | TooLongLine], parsers: Sequence[LineParser]
) -> Iterator[pa.Table]:
    """Yield the rows of each block in order; as many are parsed at once as there are parsers.

    Each parser has every n-th block, so that what it has learned of the lines, and with it the file that is
    written, does not depend on which thread was faster.
    """
    if len(parsers) == 1:
        yield from (_rows_of(block, parsers[0], number) for block, number in _numbered(blocks))
        return
    with ThreadPoolExecutor(len(parsers)) as pool:
        waiting: deque[Future[pa.Table]] = deque()
        for (block, number), parser in zip(_numbered(blocks), cycle(parsers), strict=False):
            if len(waiting) == len(parsers):
                yield waiting.popleft().result()  # by this parser: it is free now
            waiting.append(pool.submit(_rows_of, block, parser, number))
        while waiting:
            yield waiting.popleft().result()


def _numbered(blocks: Iterable[bytes | TooLongLine]) -> Iterator[tuple[bytes | TooLongLine, int]]:
    """Yield each block with the number of its first line in the file, counted from 1."""
    number = 1
    for block in blocks:
        yield block, number
        number += 1 if isinstance(block, TooLongLine) else block.count(_NEWLINE) + 1


def _rows_of(block: bytes | TooLongLine, parser: LineParser, number: int) -> pa.Table:
    if not isinstance(block, TooLongLine):
        return parser.parse(block, number)
    if block.is_blank:
        return parser.parse(b"", number)
    return parser.too_long(block.start, block.size, block.sha256, number)


def blocks_of_lines(chunks: Iterable[bytes], max_line_bytes: int) -> Iterator[bytes | TooLongLine]:
    """Cut a stream of bytes into blocks of whole lines, without the last newline, in bounded memory.

    A byte order mark at the very start is dropped. A line longer than `max_line_bytes` that spans chunks is
    reduced to a `TooLongLine` while it passes.
    """
    splitter = _Splitter(max_line_bytes)
    for chunk in _without_bom(chunks):
        yield from splitter.feed(chunk)
    yield from splitter.finish()


def _without_bom(chunks: Iterable[bytes]) -> Iterator[bytes]:
    start: bytes | None = b""
    for chunk in chunks:
        if start is None:
            yield chunk
            continue
        start += chunk
        if len(start) >= len(_BOM):
            yield start.removeprefix(_BOM)
            start = None
    if start:
        yield start


class _Splitter:
    """Holds what has come and is not handed on yet: whole lines, the start of one, or a line too long."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._lines: list[bytes] = []
        self._lines_bytes = 0
        self._rest = b""
        self._long_line: _LongLine | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLongLine]:
        if self._long_line is not None:
            piece, newline, chunk = chunk.partition(_NEWLINE)
            self._long_line.add(piece)
            if not newline:
                return
            yield self._long_line.done()
            self._long_line = None
        end = chunk.rfind(_NEWLINE)
        if end < 0:
            self._rest += chunk
        else:
            self._lines.append(self._rest + chunk[:end])
            self._lines_bytes += len(self._lines[-1])
            self._rest = chunk[end + 1 :]
        is_long = len(self._rest) > self._max_line_bytes
        if self._lines_bytes >= BLOCK_BYTES or is_long:
            yield from self._hand_on()
        if is_long:
            self._long_line = _LongLine()
            self._long_line.add(self._rest)
            self._rest = b""

    def finish(self) -> Iterator[bytes | TooLongLine]:
        yield from self._hand_on()
        if self._long_line is not None:
            yield self._long_line.done()
        elif self._rest:
            yield self._rest

    def _hand_on(self) -> Iterator[bytes]:
        if self._lines:
            yield from _cut(_NEWLINE.join(self._lines))
        self._lines, self._lines_bytes = [], 0


def _cut(block: bytes) -> Iterator[bytes]:
    """Yield a block in parts that have few lines enough."""
    if block.count(_NEWLINE) < BLOCK_LINES:
        yield block
        return
    middle = block.rfind(_NEWLINE, 0, len(block) // 2)
    if middle < 0:  # one line is half of the block
        middle = block.index(_NEWLINE)
    yield from _cut(block[:middle])
    yield from _cut(block[middle + 1 :])


class _LongLine:
    """A line that is too long, while it passes."""

    def __init__(self) -> None:
        self._start = b""
        self._size = 0
        self._hash = hashlib.sha256()
        self._is_blank = True

    def add(self, piece: bytes) -> None:
        self._is_blank = self._is_blank and not piece.strip(WHITE_SPACE)
        self._start += piece[: KEPT_RAW_BYTES - len(self._start)]
        self._size += len(piece)
        self._hash.update(piece)

    def done(self) -> TooLongLine:
        return TooLongLine(self._start, self._size, self._hash.hexdigest(), self._is_blank)


def entry_to_json(entry: LedgerEntry) -> str:
    return json.dumps(dataclasses.asdict(entry), default=lambda value: value.isoformat())


def entry_from_json(text: str) -> LedgerEntry:
    body = json.loads(text)
    for name in ("received_at", "first_event_time", "last_event_time"):
        if body[name]:
            body[name] = datetime.fromisoformat(body[name]).astimezone(UTC)
    return LedgerEntry(**body)


def entries_in(location: str) -> list[LedgerEntry]:
    """Return what a file of bronze notes of the source files whose lines it holds.

    Raises: ValueError, TypeError, KeyError: the notes are not ours.
    """
    notes = notes_of(location)
    bodies = json.loads(notes.get(MERGED_FOOTER_KEY, "[]"))
    texts = [notes[FOOTER_KEY]] if FOOTER_KEY in notes else [json.dumps(body) for body in bodies]
    return [entry_from_json(text) for text in texts]


def entries_to_footer(entries: Iterable[LedgerEntry]) -> dict[str, str]:
    """Return the notes of a file that holds the lines of several source files."""
    return {MERGED_FOOTER_KEY: f"[{', '.join(map(entry_to_json, entries))}]"}


def counts_to_json(counted: Counter[str]) -> str | None:
    return json.dumps(counted, sort_keys=True) if counted else None


def _with_origin(rows: pa.Table, entry: LedgerEntry) -> pa.Table:
    constants = {
        "source_file": pa.scalar(entry.path, pa.string()),
        "source_sha256": pa.scalar(entry.sha256, pa.string()),
        "received_at": pa.scalar(entry.received_at, pa.timestamp("us", tz="UTC")),
    }
    nothing = pa.nulls(rows.num_rows, pa.int32()).fill_null(0)
    for name, value in constants.items():
        # One entry for all rows: a dictionary spares the writer from hashing a long path per row.
        column = pa.DictionaryArray.from_arrays(nothing, pa.array([value.as_py()], value.type))
        rows = rows.append_column(name, column)
    return rows


def _without_forgotten(rows: pa.Table, suppression: Suppression | None, left_out: LeftOut) -> pa.Table:
    if suppression is None:
        return rows
    theirs = suppression.rows_of(rows)
    lost = rows.filter(theirs)
    if not lost.num_rows:
        return rows
    valid = lost["problem"].null_count
    left_out.valid += valid
    left_out.quarantined += lost.num_rows - valid
    left_out.unknown_fields.update(unknown_fields_of(lost))
    return rows.filter(pc.invert(theirs))


def unknown_fields_of(rows: pa.Table) -> Counter[str]:
    """Return how many valid rows have each field that the contract does not know."""
    counted: Counter[str] = Counter()
    for extra in rows.filter(pc.is_null(rows["problem"]))["extra"].drop_null().to_pylist():
        counted.update(json.loads(extra).keys())
    return counted


def reasons_of(rows: pa.Table) -> Counter[str]:
    """Return how many rows have each reason for the quarantine."""
    counted: Counter[str] = Counter()
    for problem in rows["problem"].drop_null().to_pylist():
        counted.update(problem.split(", "))
    return counted
