"""People of a shop, some of whom are forgotten; and a look into every file for what must not be there."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
from deliveries import Row, Shop, event, random_events, rows_of, text_of
from made_tables import tables_of

from eventmint.values import EVENT_COLUMNS, Totals

ANNA, BEN = "u-anna-7731", "ben@shop.example"
# Everything that is theirs alone. No id of another is nearly one of these: compressed bytes may end it so.
TRACES = (ANNA, BEN, "s-anna-1", "s-ben-1", "annas shoes")
OTHERS = ("u1", "u2", "u-anna", "u-anna-70", "ben")
REFUNDS = {"contract__event_types": ["page_view", "add_to_cart", "purchase", "search", "refund"]}
SAID = (*EVENT_COLUMNS, "extra", "problem", "raw")
Line = Row | bytes


def shop_in(folder: Path, **settings: Any) -> Shop:
    return Shop(folder, {"privacy__key_file": str(folder / "kept" / "forgotten.key"), **settings})


def of_anna(**changes: Any) -> Row:
    return event(**{"user_id": ANNA, "session_id": "s-anna-1", **changes})


def lines_of_others(seed: int, count: int = 8) -> list[Line]:
    rng = Random(seed)
    lines: list[Line] = [{**one, "user_id": rng.choice(OTHERS)} for one in random_events(rng, count)]
    return [
        *lines,
        event(user_id="u2", price=seed, device="phone"),
        json.dumps(event(user_id="u-anna-70", quantity=0)).encode(),
        b'{"user_id": "u-anna", broken',
        b"\xff\xfe u-anna-70 ben",
    ]


def lines_of_the_forgotten(seed: int) -> list[Line]:
    """Lines of every kind: valid, repeated, unknown fields, quarantined, broken, of no encoding, escaped."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in ANNA)
    return [
        of_anna(price=seed, search_query="annas shoes"),
        of_anna(price=seed, search_query="annas shoes"),
        of_anna(device="phone", tablet=True, timestamp="2025-06-14T09:01:00Z"),
        event(user_id=BEN, session_id="s-ben-1", event_type="page_view", quantity=None, price=None),
        event(user_id=BEN, session_id="s-ben-1", event_type="refund"),
        of_anna(quantity=0),
        b'{"user_id": "' + ANNA.encode() + b'", "session_id": "s-anna-1", broken',
        b"\xff\xfe{" + BEN.encode() + b";s-ben-1\xff",
        b'{"user_id": "' + escaped.encode() + b'", "quantity": 1}',
        b"seen: <" + ANNA.encode() + b"> twice",
        b'{"user_id": "' + ANNA.encode() + b'", "x": "' + b"y" * 9000 + b'"',
    ]


def mixed(seed: int, lines: list[Line], others: list[Line], *, with_the_forgotten: bool) -> bytes:
    """The same order of the others with and without."""
    rng = Random(seed)
    places = sorted(rng.randrange(len(others) + 1) for _ in lines)
    found: list[Line] = []
    for number, one in enumerate([*others, b" "]):
        found += [line for place, line in zip(places, lines, strict=True) if place == number]
        found.append(one)
    kept = found if with_the_forgotten else [line for line in found if not any(line is one for one in lines)]
    return text_of(*kept)


def delivery(seed: int, *, with_the_forgotten: bool) -> bytes:
    others = lines_of_others(seed)
    return mixed(seed, lines_of_the_forgotten(seed), others, with_the_forgotten=with_the_forgotten)


def what_it_holds(shop: Shop) -> dict[str, Any]:
    """Everything but what must differ: names of contents, numbers of lines, and the lines left out."""
    lake = shop.lake
    bronze = (
        [row[name] for name in SAID] + [Path(row["source_file"]).name]
        for row in rows_of(lake, "bronze.events")
    )
    counts = [
        (
            Path(entry.path).name,
            entry.blank,
            entry.valid,
            entry.quarantined,
            entry.first_event_time,
            entry.last_event_time,
            entry.unknown_fields,
            entry.reasons,
        )
        for entry in lake.ledger().entries
        if entry.has_lines and entry.valid + entry.quarantined
    ]
    totals = lake.totals()
    return {
        **tables_of(lake),
        "bronze": sorted(bronze, key=repr),
        "ledger": sorted(counts, key=repr),
        "totals": Totals(**{**vars(totals), "lines": totals.lines - totals.suppressed, "suppressed": 0}),
    }


# --- Looking everywhere ----------------------------------------------------------------------------------


def found_in(folder: Path, traces: tuple[str, ...] = TRACES) -> list[str]:
    """Where any of some texts is, in the bytes of a file or in what they say once unpacked."""
    return sorted(
        f"{path.relative_to(folder)}: {trace}"
        for path in folder.rglob("*")
        if path.is_file()
        for trace in traces
        if any(trace.encode() in text for text in (path.read_bytes(), *_unpacked(path)))
    )


def _unpacked(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            yield repr(file.read().to_pylist()).encode()
            yield repr(file.metadata.to_dict()).encode() + repr(file.metadata.metadata).encode()
    elif path.suffix == ".avro":
        yield from _blocks_of(path.read_bytes())


def _blocks_of(avro: bytes) -> Iterator[bytes]:
    """The inflated blocks of an Avro file."""
    at = 4
    while count := _number(avro, at):  # the header's map of texts
        at = count[1]
        if not count[0]:
            break
        for _ in range(2 * count[0]):
            size, at = _number(avro, at)
            at += size
    at += 16
    while at < len(avro):
        _, at = _number(avro, at)
        size, at = _number(avro, at)
        yield (
            zlib.decompress(avro[at : at + size], -15) if b"deflate" in avro[:4096] else avro[at : at + size]
        )
        at += size + 16


def _number(avro: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (avro[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not avro[at - 1] & 0x80:
            return (value >> 1) ^ -(value & 1), at
