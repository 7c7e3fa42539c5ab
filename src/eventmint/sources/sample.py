"""Sample data: a made-up shop's clicks, one gzipped file per five minutes, and the right answers to them.

Stands before the pipeline. Standard library only and nothing of eventmint: it runs on bare Python and as the
body of a Lambda. A file is a pure function of the settings and its number, so any number of workers, or one
Lambda call per file, writes the same bytes. It never lets the clock decide a byte and never removes a file.

How the shop behaves:
- A *window* is a file's five minutes. A session is whole within one file: a *journey* (search, view, cart,
  then purchase, an emptied cart or neither) drawn for the hour of the day, with products drawn by Zipf, and a
  user out of a pool in which some return often.
- The daily curve acts on appetite, not on volume: more visits end in a purchase at 20:00 UTC than at 4:00.
- A file is a sequence of *batches* of about 1,000 events, as collectors flush them, each sorted by time.
- Batch 0, the *echo*, is delivered again by the next three files, a third of its lines each; they recompute
  that one batch. Twice as many lines are repeated within their own file.
- A late session (the phone was offline) was played in an earlier window: up to an hour ago, seldom two days.
- One line in 500 is written differently but legally (VARIANTS). Bad lines take turns through all kinds.
- `events_per_file` counts every line of a file: events, second deliveries, bad lines and blank lines. With a
  `size_spread` it is the middle, and each file draws its own number by its time.
"""

# ruff: noqa: PLR2004 - what a made-up shop is like is said in plain numbers
# ruff: noqa: S311 - seeded randomness, not secrets
# ruff: noqa: T201 - a command of its own, below no cli

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import accumulate, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WINDOW = timedelta(minutes=5)
WINDOW_SECONDS = 300
WINDOW_MS = 300_000
BATCH_EVENTS = 1_000
ECHO_FILES = 3
JOURNEYS_PER_HOUR = 512
VARIANT_EVERY = 500
LONGEST_LINE_BYTES = 1_048_576
FILE_PATH = "events/year=%Y/month=%m/day=%d/hour=%H/minute=%M/events-%Y%m%d-%H%M%S.jsonl.gz"

# How eager visitors are to buy, by UTC hour.
# fmt: off
APPETITE = (0.6, 0.5, 0.4, 0.35, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9, 1.0, 1.0,
            1.1, 1.0, 0.9, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.3, 1.1, 0.8)
# fmt: on

# Category: lowest and highest price, and what people type to find it. A gift card stands on no shelf.
SHELVES: dict[str | None, tuple[float, float, tuple[str, ...]]] = {
    "Electronics": (15, 900, ("headphones", "usb-c cable", "4k monitor", "power bank")),
    "Clothing": (8, 150, ("rain jacket", "wool socks", "black jeans", "t-shirt")),
    "Shoes": (25, 220, ("running shoes", "sandals", "boots size 43")),
    "Home": (5, 400, ("desk lamp", "bed sheets 140x200", "wall clock")),
    "Kitchen": (4, 250, ("chef's knife", '12" frying pan', "caf\u00e9 cr\u00e8me cups", "kettle")),
    "Garden": (3, 300, ("rose fertilizer", "garden hose 20m", "bird feeder")),
    "Books": (5, 60, ("crime novel", "cook book", "atlas", "poems")),
    "Toys": (6, 120, ("wooden train", "puzzle 1000", "board game", "kite")),
    "Sports": (7, 500, ("yoga mat", "bike lights", "tent 2 persons")),
    "Beauty": (3, 90, ("hand cream", "sun screen 50", "shampoo")),
    "Grocery": (1, 40, ("olive oil", "green tea", "dark chocolate")),
    None: (10, 100, ("gift card",)),
}
NO_CATEGORY = "(none)"


class SettingsError(ValueError):
    """The sample cannot be made as asked; the message says which setting, and what is allowed."""


LIMITS = {
    "num_files": (1, 100_000),
    "events_per_file": (1, 10_000_000),
    "bad_rate": (0, 0.25),
    "duplicate_rate": (0, 0.5),
    "late_rate": (0, 1),
    "size_spread": (0, 0.5),
    "workers": (0, 1_024),
    "products": (0, 99_999),
    "users": (0, 100_000_000),
}


@dataclass(frozen=True)
class SampleSettings:
    """What to make. 0 products or users become as many as suit the size of a file, 0 workers one per core."""

    num_files: int = 24
    events_per_file: int = 2_500
    output_dir: Path = Path("generated-data")
    start: datetime = datetime(2026, 1, 15, 10, tzinfo=UTC)
    seed: int = 42
    bad_rate: float = 0.0
    duplicate_rate: float = 0.07
    late_rate: float = 0.01
    size_spread: float = 0.0
    truth: Path | None = None
    workers: int = 0
    products: int = 0
    users: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{option(name)} must be between {low:,} and {high:,}, not {value}")
        if self.start.tzinfo is None:
            raise SettingsError("--start needs a time zone, for example 2026-01-15T10:00:00Z")
        start = self.start.astimezone(UTC)
        if start.timestamp() % WINDOW_SECONDS or not 1971 <= start.year <= 2900:
            raise SettingsError(f"--start must be a full five minutes of the years 1971 to 2900, not {start}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "workers", self.workers or os.cpu_count() or 1)
        object.__setattr__(self, "products", self.products or 200 + self.events_per_file // 125)
        object.__setattr__(self, "users", self.users or 50 + 2 * self.events_per_file)

    def window_start(self, index: int) -> datetime:
        return self.start + index * WINDOW

    def line_count(self, start: datetime) -> int:
        """Return how many lines the file of a window has: its time decides, whoever writes it."""
        drawn = Random(f"{self.seed}/{start:%Y-%m-%dT%H:%M}/size").uniform(-1, 1)
        return round(self.events_per_file * (1 + self.size_spread * drawn))

    def as_json(self) -> dict[str, Any]:
        """Return the settings that decide the bytes: not where they go, nor how many hands write them."""
        decisive = {k: v for k, v in asdict(self).items() if k not in ("output_dir", "truth", "workers")}
        return decisive | {"start": f"{self.start:%Y-%m-%dT%H:%M:%SZ}"}


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


# ---- the shop -----------------------------------------------------------------------------------------

Action = tuple[str, int, int]  # event type, number of the product, quantity (0 for a view or a search)


class Product(NamedTuple):
    product_id: str
    category: str | None
    price_cents: int
    phrase: str


class Journey(NamedTuple):
    clicks: tuple[Action, ...]  # products numbered as they come up: 0, 1, 2...
    product_count: int


class Shop:
    """The catalogue and what is popular in it: a pure function of the settings."""

    def __init__(self, settings: SampleSettings) -> None:
        rng = Random(f"{settings.seed}/catalogue")
        self.settings = settings
        self.numbers = range(settings.products)
        self.products = [draw_product(rng, number) for number in self.numbers]
        self.tails = Tails(self.products)
        zipf = sorted((1 / (rank + 3) for rank in self.numbers), key=lambda _: rng.random())
        self.popularity = list(accumulate(zipf))


@lru_cache(maxsize=1)
def open_shop(settings: SampleSettings) -> Shop:
    return Shop(settings)


def draw_product(rng: Random, number: int) -> Product:
    category = tuple(SHELVES)[int(rng.random() * len(SHELVES))]
    low, high, phrases = SHELVES[category]
    ending = (99, 99, 95, 49, 50, 0)[int(rng.random() * 6)]
    price_cents = int(low * (high / low) ** rng.random()) * 100 + ending
    return Product(f"p-{number:05d}", category, price_cents, phrases[number % len(phrases)])


@lru_cache(maxsize=24)
def journeys_of(seed: int, hour: int) -> list[Journey]:
    rng = Random(f"{seed}/journeys/{hour}")
    return [draw_journey(rng, APPETITE[hour]) for _ in range(JOURNEYS_PER_HOUR)]


def draw_journey(rng: Random, appetite: float) -> Journey:
    """Return the clicks of one visit: look around, fill a cart, then buy it, empty it or walk away."""
    clicks: list[Action] = []
    cart: list[tuple[int, int]] = []
    product_count = 1 + min(int(rng.expovariate(0.27)), 14)
    for number in range(product_count):
        if rng.random() < 0.2:
            clicks.append(("search", number, 0))
        clicks.append(("page_view", number, 0))
        if rng.random() < 0.13 * appetite:
            quantity = 1 + min(int(rng.expovariate(1.6)), 4)
            clicks.append(("add_to_cart", number, quantity))
            cart.append((number, quantity))
    fate = rng.random()
    if fate < 0.45 * appetite:
        clicks += [("purchase", number, quantity) for number, quantity in cart]
    elif fate > 0.8:
        clicks += [("remove_from_cart", number, quantity) for number, quantity in cart]
    return Journey(tuple(clicks), product_count)


class Tails(dict[Action, str]):
    """The rest of a line, from event_type on: written by json.dumps once per action, then reused."""

    def __init__(self, products: list[Product]) -> None:
        self.products = products

    def __missing__(self, action: Action) -> str:
        event_type, number, quantity = action
        product, is_search = self.products[number], event_type == "search"
        event = {
            "event_type": event_type,
            "product_id": None if is_search else product.product_id,
            "quantity": quantity or None,
            "price": None if is_search else product.price_cents / 100,
            "category": None if is_search else product.category,
            "search_query": product.phrase if is_search else None,
        }
        self[action] = compact(event)[1:] + "\n"
        return self[action]


def compact(event: dict[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"))


# ---- batches of sessions ------------------------------------------------------------------------------


class Visit(NamedTuple):
    hour: str  # 2026-01-15T10, UTC: a window never leaves its hour
    user: int
    actions: list[Action]


class Batch(NamedTuple):
    lines: list[str]
    visits: list[Visit]


def play_batch(shop: Shop, start: datetime, number: int, event_count: int) -> Batch:
    """Return exactly `event_count` events of one collector, whatever the other batches and files hold."""
    settings, tails = shop.settings, shop.tails
    rng = Random(f"{settings.seed}/{start:%Y-%m-%dT%H:%M}/{number}")
    random = rng.random
    journeys = draw_journeys(rng, journeys_of(settings.seed, start.hour), event_count)
    demand = sum(journey.product_count for journey in journeys)
    favourites = iter(rng.choices(shop.numbers, cum_weights=shop.popularity, k=demand))
    lines: list[str] = []
    visits: list[Visit] = []
    for clicks, product_count in journeys:
        products = list(islice(favourites, product_count))
        user = int(settings.users * random() ** 2)
        hour, seconds = clock_of(start - windows_late(rng, settings.late_rate) * WINDOW)
        middle = f'Z","user_id":"u-{user:06d}","session_id":"s-{rng.getrandbits(64):016x}",'
        # Each event has its own slot of `step` ms: times rise strictly and the last stays inside the window.
        step = min(2_000 + int(random() ** 2 * 40_000), WINDOW_MS // len(clicks))
        slot = int(random() * (WINDOW_MS - step * len(clicks)))
        actions = [(event_type, products[place], quantity) for event_type, place, quantity in clicks]
        for action in actions:
            ms = slot + int(random() * step)
            slot += step
            lines.append(f"{seconds[ms // 1_000]}{ms % 1_000:03d}{middle}{tails[action]}")
        visits.append(Visit(hour, user, actions))
    for position in range(int(random() * VARIANT_EVERY), event_count, VARIANT_EVERY):
        write_otherwise = VARIANTS[int(random() * len(VARIANTS))]
        lines[position] = write_otherwise(json.loads(lines[position])) + "\n"
    lines.sort()
    return Batch(lines, visits)


def draw_journeys(rng: Random, known: list[Journey], event_count: int) -> list[Journey]:
    """Return journeys with `event_count` clicks in all; the last one breaks off where the batch is full."""
    journeys: list[Journey] = []
    room = event_count
    while room > 0:
        clicks, product_count = known[int(rng.random() * len(known))]
        journeys.append(Journey(clicks[:room], product_count))
        room -= len(clicks)
    return journeys


@lru_cache(maxsize=1_024)
def clock_of(start: datetime) -> tuple[str, list[str]]:
    """Return the hour of a window, and how a line begins, up to the milliseconds, in each of its seconds."""
    moments = (start + timedelta(seconds=second) for second in range(WINDOW_SECONDS))
    return f"{start:%Y-%m-%dT%H}", [f'{{"timestamp":"{moment:%Y-%m-%dT%H:%M:%S}.' for moment in moments]


def windows_late(rng: Random, late_rate: float) -> int:
    """Return how many windows ago a session was played: mostly 0, else up to 12, seldom up to 576."""
    if rng.random() >= late_rate:
        return 0
    return 1 + int(rng.random() ** 2 * 12) if rng.random() < 0.9 else 13 + int(rng.random() * 564)


def with_unknown_fields(event: dict[str, Any]) -> str:
    return compact(event | {"app_version": "7.1", "experiment": {"arm": 2, "name": "checkout"}})


def with_offset(event: dict[str, Any]) -> str:
    there = datetime.fromisoformat(event["timestamp"]).replace(tzinfo=None) + timedelta(hours=2)
    return compact(event | {"timestamp": f"{there.isoformat(timespec='milliseconds')}+02:00"})


def without_nulls(event: dict[str, Any]) -> str:
    return compact({name: value for name, value in event.items() if value is not None})


def with_spaces(event: dict[str, Any]) -> str:
    """As another program would write it: spaces, letters beyond ASCII as they are, CR before the LF."""
    return json.dumps(event, ensure_ascii=False) + "\r"


VARIANTS = (with_unknown_fields, with_offset, without_nulls, with_spaces)


# ---- bad lines ----------------------------------------------------------------------------------------

# Kind: the contract's reason, and what becomes of a good line.
BROKEN_TEXTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "truncated": ("json_invalid", lambda line: line[: len(line) * 2 // 3]),
    "garbage": ("json_invalid", lambda _: "GET /health 200 0.003s"),
    "two_objects_glued": ("json_invalid", lambda line: line + line),
    "trailing_comma": ("json_invalid", lambda line: line[:-1] + ",}"),
    "single_quotes": ("json_invalid", lambda line: line.replace('"', "'")),
    "control_character": ("json_invalid", lambda line: line.replace("u-", "u-\x01")),
    "lone_surrogate": ("json_invalid", lambda line: line.replace("u-", "u-\\ud800")),
    "bom_inside": ("json_invalid", lambda line: line.replace(",", ",\ufeff", 1)),
    "not_utf8": ("not_utf8", lambda line: line.replace("u-", "u-\udcff")),  # surrogateescape: the byte FF
    "array": ("not_an_object", lambda line: f"[{line}]"),
    "string": ("not_an_object", lambda _: '"page_view"'),
    "number": ("not_an_object", lambda _: "42"),
    "null": ("not_an_object", lambda _: "null"),
    "duplicate_key": ("duplicate_key", lambda line: line[:-1] + ',"user_id":"u-000001"}'),
    "duplicate_key_escaped": ("duplicate_key", lambda line: line[:-1] + ',"pric\\u0065":1}'),
    "duplicate_key_nested": ("duplicate_key", lambda line: line[:-1] + ',"device":{"os":"a","os":"b"}}'),
    "nested_deep": ("nesting_too_deep", lambda line: line[:-1] + ',"trail":' + "[" * 40 + "]" * 40 + "}"),
    "empty_object": (
        "timestamp_missing, user_id_missing, session_id_missing, event_type_missing",
        lambda _: "{}",
    ),
}

# Kind: the contract's reasons, and the JSON texts that replace a good purchase's; an empty one drops the key.
BROKEN_FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "timestamp_absent": ("timestamp_missing", {"timestamp": ""}),
    "timestamp_empty": ("timestamp_empty", {"timestamp": '""'}),
    "timestamp_number": ("timestamp_wrong_type", {"timestamp": "1768471200"}),
    "timestamp_no_zone": ("timestamp_no_zone", {"timestamp": '"2026-01-15T10:00:00.000"'}),
    "timestamp_garbage": ("timestamp_invalid", {"timestamp": '"yesterday"'}),
    "timestamp_30_february": ("timestamp_invalid", {"timestamp": '"2024-02-30T10:00:00.000Z"'}),
    "timestamp_leap_second": ("timestamp_invalid", {"timestamp": '"2016-12-31T23:59:60Z"'}),
    "timestamp_with_space": ("timestamp_invalid", {"timestamp": '"2026-01-15 10:00:00.000Z"'}),
    "timestamp_year_2999": ("timestamp_out_of_range", {"timestamp": '"2999-01-01T00:00:00.000Z"'}),
    "timestamp_year_1969": ("timestamp_out_of_range", {"timestamp": '"1969-12-31T23:59:59.999Z"'}),
    "user_id_absent": ("user_id_missing", {"user_id": ""}),
    "user_id_empty": ("user_id_empty", {"user_id": '""'}),
    "user_id_number": ("user_id_wrong_type", {"user_id": "1234"}),
    "session_id_null": ("session_id_missing", {"session_id": "null"}),
    "session_id_empty": ("session_id_empty", {"session_id": '""'}),
    "session_id_array": ("session_id_wrong_type", {"session_id": '["s-1"]'}),
    "event_type_null": ("event_type_missing", {"event_type": "null"}),
    "event_type_empty": ("event_type_empty", {"event_type": '""'}),
    "event_type_number": ("event_type_wrong_type", {"event_type": "3"}),
    "event_type_unknown": ("event_type_unknown", {"event_type": '"wishlist"'}),
    "product_id_null": ("product_id_missing", {"product_id": "null"}),
    "product_id_empty": ("product_id_empty", {"product_id": '""'}),
    "product_id_number": ("product_id_wrong_type", {"product_id": "17"}),
    "category_number": ("category_wrong_type", {"category": "5"}),
    "quantity_absent": ("quantity_missing", {"quantity": ""}),
    "quantity_string": ("quantity_wrong_type", {"quantity": '"3"'}),
    "quantity_fraction": ("quantity_wrong_type", {"quantity": "2.5"}),
    "quantity_point_zero": ("quantity_wrong_type", {"quantity": "2.0"}),
    "quantity_true": ("quantity_wrong_type", {"quantity": "true"}),
    "quantity_zero": ("quantity_out_of_range", {"quantity": "0"}),
    "quantity_negative": ("quantity_out_of_range", {"quantity": "-1"}),
    "quantity_huge": ("quantity_out_of_range", {"quantity": "2147483648"}),
    "price_null": ("price_missing", {"price": "null"}),
    "price_nan": ("json_invalid", {"price": "NaN"}),
    "price_string": ("price_wrong_type", {"price": '"9.99"'}),
    "price_negative": ("price_out_of_range", {"price": "-0.01"}),
    "price_billion": ("price_out_of_range", {"price": "1000000000"}),
    "price_1e400": ("price_out_of_range", {"price": "1e400"}),
    "price_too_precise": ("price_too_precise", {"price": "9.9900001"}),
    "search_query_object": ("search_query_wrong_type", {"search_query": "{}"}),
    "user_and_price": ("user_id_missing, price_out_of_range", {"user_id": "null", "price": "-5"}),
    "type_and_quantity": (
        "event_type_unknown, quantity_wrong_type",
        {"event_type": '"buy"', "quantity": '"3"'},
    ),
}

ROTATION = (*BROKEN_TEXTS, *BROKEN_FIELDS)
REASONS = {
    "line_too_long": "line_too_long",  # not in the rotation: once per data set is enough
    **{kind: reasons for kind, (reasons, _) in BROKEN_TEXTS.items()},
    **{kind: reasons for kind, (reasons, _) in BROKEN_FIELDS.items()},
}
BLANKS = ("", " \t ", "\r")


def broken_line(kind: str, start: datetime, number: int) -> str:
    """Return a line of this kind, without its newline: a purchase that went wrong."""
    if kind == "line_too_long":
        return '{"search_query":"'.ljust(LONGEST_LINE_BYTES - 1, "a") + '"}'
    purchase = {
        "timestamp": f'"{start:%Y-%m-%dT%H:%M:%S}.{number % 1_000:03d}Z"',
        "user_id": '"u-000007"',
        "session_id": f'"s-{number:016x}"',
        "event_type": '"purchase"',
        "product_id": '"p-00000"',
        "quantity": "1",
        "price": "9.99",
        "category": '"Books"',
        "search_query": "null",
    }
    if kind in BROKEN_FIELDS:
        purchase |= BROKEN_FIELDS[kind][1]
    line = "{" + ",".join(f'"{name}":{text}' for name, text in purchase.items() if text) + "}"
    return BROKEN_TEXTS[kind][1](line) if kind in BROKEN_TEXTS else line


def broken_kinds(settings: SampleSettings, index: int) -> list[str]:
    """Return the kinds of a file's bad lines. They take turns from file to file, so each kind comes round."""
    window = int(settings.window_start(index).timestamp()) // WINDOW_SECONDS
    first, end = (int(w * settings.events_per_file * settings.bad_rate) for w in (window, window + 1))
    kinds = [ROTATION[number % len(ROTATION)] for number in range(first, end)]
    return ["line_too_long", *kinds[1:]] if kinds and index == 0 else kinds


# ---- one file -----------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What happened, as far as the five answers ask. The tallies of several files add up."""

    actions: dict[str, Counter[Action]] = field(default_factory=lambda: defaultdict(Counter))  # by hour
    users: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # by day
    sessions: Counter[str] = field(default_factory=Counter)  # by day

    def count(self, visits: list[Visit]) -> None:
        by_hour: dict[str, list[Action]] = defaultdict(list)
        for hour, user, actions in visits:
            by_hour[hour] += actions
            self.users[hour[:10]].add(user)
            self.sessions[hour[:10]] += 1
        for hour, hour_actions in by_hour.items():
            self.actions[hour].update(hour_actions)

    def add(self, other: Tally) -> None:
        for hour, actions in other.actions.items():
            self.actions[hour].update(actions)
        for day, users in other.users.items():
            self.users[day] |= users
        self.sessions.update(other.sessions)


@dataclass(frozen=True)
class FileCounts:
    """lines = blank + valid + quarantined; `duplicates` of the valid ones were delivered before."""

    path: str  # relative to output_dir
    lines: int
    blank: int
    valid: int
    quarantined: int
    duplicates: int
    bad_lines_by_kind: Counter[str]


def write_file(
    settings: SampleSettings, index: int, sink: BinaryIO, tally: Tally | None = None
) -> FileCounts:
    """Write file number `index` of the data set to `sink`, gzipped; count its new events into `tally`."""
    start = settings.window_start(index)
    kinds = broken_kinds(settings, index)
    bad = [broken_line(kind, start, number) for number, kind in enumerate(kinds)]
    blanks = BLANKS if bad and settings.events_per_file >= 100 else ()
    strays = [f"{line}\n" for line in (*bad, *blanks)]
    duplicates = write_lines(settings, index, sink, strays, tally.count if tally else None)
    line_count = settings.line_count(start)
    return FileCounts(
        path=start.strftime(FILE_PATH),
        lines=line_count,
        blank=len(blanks),
        valid=line_count - len(bad) - len(blanks),
        quarantined=len(bad),
        duplicates=duplicates,
        bad_lines_by_kind=Counter(kinds),
    )


def write_lines(
    settings: SampleSettings,
    index: int,
    sink: BinaryIO,
    strays: Sequence[str] = (),
    on_visits: Callable[[list[Visit]], None] | None = None,
) -> int:
    """Write a file's lines, `strays` scattered among its events; return how many were delivered before."""
    shop, start = open_shop(settings), settings.window_start(index)
    line_count = settings.line_count(start)
    echoes = echoes_of_earlier_files(shop, index)
    strays = [*echoes, *strays]
    repeats = int(line_count * settings.duplicate_rate * 2 / 3)
    sizes = batch_sizes(settings, line_count - repeats - len(strays))
    rng = Random(f"{settings.seed}/{start:%Y-%m-%dT%H:%M}/delivery")
    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0, compresslevel=6) as archive:
        for number, (size, share) in enumerate(zip(sizes, in_proportion(repeats, sizes), strict=True)):
            lines, visits = play_batch(shop, start, number, size)
            for line in rng.choices(lines, k=share) + strays[number :: len(sizes)]:
                lines.insert(int(rng.random() * (len(lines) + 1)), line)
            archive.write("".join(lines).encode("utf-8", "surrogateescape"))
            if on_visits is not None:
                on_visits(visits)
    return repeats + len(echoes)


def echo_size(settings: SampleSettings) -> int:
    return int(settings.events_per_file * settings.duplicate_rate / 3)


def echoes_of_earlier_files(shop: Shop, index: int) -> list[str]:
    """Return the lines that earlier files of this data set delivered and this one delivers again."""
    lines: list[str] = []
    for age in range(1, min(index, ECHO_FILES) + 1):
        echo = play_batch(shop, shop.settings.window_start(index - age), 0, echo_size(shop.settings))
        lines += echo.lines[age - 1 :: ECHO_FILES]
    return lines


def batch_sizes(settings: SampleSettings, event_count: int) -> list[int]:
    """Return the events of each batch: the echo, whose size must be the same in every file, then the rest."""
    echo = echo_size(settings)
    rest = event_count - echo
    batches = max(1, rest // BATCH_EVENTS)
    return [echo, *in_proportion(rest, [1] * batches)]


def in_proportion(total: int, weights: Sequence[int]) -> list[int]:
    """Return whole shares of `total` that add up to it; none where the weight is zero."""
    whole = max(1, sum(weights))
    ends = [total * reached // whole for reached in accumulate(weights)]
    return [end - before for before, end in zip([0, *ends], ends, strict=False)]


# ---- the right answers --------------------------------------------------------------------------------

COLUMNS = {
    "conversion_funnel": "event_date product_id category views add_to_carts purchases revenue",
    "hourly_revenue": "event_date event_hour total_revenue transaction_count units",
    "top_products": "event_date rank product_id category view_count",
    "category_performance": "event_date category events page_views add_to_carts remove_from_carts purchases"
    " searches revenue",
    "user_activity": "event_date unique_users unique_sessions events",
}
EVENT_TYPES = ("page_view", "add_to_cart", "remove_from_cart", "purchase", "search")
Row = dict[str, Any]


def answers(tally: Tally, products: Sequence[Product]) -> dict[str, list[Row]]:
    """Return the five gold tables without their rates, in exact integers; money becomes text at the end."""
    days: dict[str, Counter[str]] = defaultdict(Counter)
    hours: dict[str, Counter[str]] = defaultdict(Counter)
    funnel: dict[tuple[str, Product], Counter[str]] = defaultdict(Counter)  # sorts by day and product_id
    shelves: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for hour, actions in tally.actions.items():
        day = hour[:10]
        for (event_type, number, quantity), count in actions.items():
            product, facts = products[number], {"events": count, event_type: count}
            if event_type == "purchase":
                facts |= {"units": count * quantity, "cents": count * quantity * product.price_cents}
                hours[hour].update(facts)
            if event_type != "search":
                funnel[day, product].update(facts)
            shelves[day, NO_CATEGORY if event_type == "search" else shelf(product)].update(facts)
            days[day].update(facts)
    rows: dict[str, Iterator[tuple[Any, ...]]] = {
        "conversion_funnel": (
            (day, p.product_id, shelf(p), f["page_view"], f["add_to_cart"], f["purchase"], money(f["cents"]))
            for (day, p), f in sorted(funnel.items())
        ),
        "hourly_revenue": (
            (hour[:10], int(hour[11:]), money(f["cents"]), f["purchase"], f["units"])
            for hour, f in sorted(hours.items())
        ),
        "top_products": (row for day in sorted(days) for row in top_ten(day, funnel)),
        "category_performance": (
            (day, category, f["events"], *(f[event_type] for event_type in EVENT_TYPES), money(f["cents"]))
            for (day, category), f in sorted(shelves.items())
        ),
        "user_activity": (
            (day, len(tally.users[day]), tally.sessions[day], f["events"]) for day, f in sorted(days.items())
        ),
    }
    return {name: [dict(zip(COLUMNS[name].split(), row, strict=True)) for row in rows[name]] for name in rows}


def top_ten(day: str, funnel: dict[tuple[str, Product], Counter[str]]) -> Iterator[tuple[Any, ...]]:
    viewed = [
        (-f["page_view"], p) for (that_day, p), f in funnel.items() if that_day == day and f["page_view"]
    ]
    for rank, (negative_views, product) in enumerate(sorted(viewed)[:10], start=1):
        yield day, rank, product.product_id, shelf(product), -negative_views


def shelf(product: Product) -> str:
    return product.category or NO_CATEGORY


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}0000"


def truth_of(settings: SampleSettings, files: Sequence[FileCounts], tally: Tally) -> dict[str, Any]:
    kinds = sum((file.bad_lines_by_kind for file in files), Counter[str]())
    reasons: Counter[str] = Counter()
    for kind, count in kinds.items():
        reasons.update(dict.fromkeys(REASONS[kind].split(", "), count))
    columns = ("path", "lines", "blank", "valid", "quarantined")
    return {
        "schema_version": 1,
        "settings": settings.as_json(),
        "files": [{name: getattr(file, name) for name in columns} for file in files],
        "totals": SampleReport(settings, tuple(files)).totals,
        "quarantined_by_reason": reasons,
        "bad_lines_by_kind": kinds,
        "answers": answers(tally, open_shop(settings).products),
    }


def render(value: Any) -> str:
    """Return JSON that reads well in a diff: keys sorted, one line per row."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(render, value)) + "\n]"
    if isinstance(value, dict) and any(isinstance(entry, dict | list) for entry in value.values()):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {render(value[key])}" for key in sorted(value)) + "\n}"
    return json.dumps(value, sort_keys=True)


# ---- the data set -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleReport:
    """What was written."""

    settings: SampleSettings
    files: tuple[FileCounts, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Return lines, blank, valid, quarantined, duplicates and events (= valid - duplicates)."""
        names = ("lines", "blank", "valid", "quarantined", "duplicates")
        totals = {name: sum(getattr(file, name) for file in self.files) for name in names}
        return totals | {"events": totals["valid"] - totals["duplicates"]}


def generate(
    settings: SampleSettings, on_file: Callable[[FileCounts], None] = lambda _: None
) -> SampleReport:
    """Write the data set, and its truth if asked; call `on_file` after each file, in order.

    Raises: OSError: something cannot be written; files already there are whole, and running again is safe.
    """
    tally = Tally()
    files: list[FileCounts] = []
    for counts, file_tally in make_files(settings):
        tally.add(file_tally)
        files.append(counts)
        on_file(counts)
    if settings.truth is not None:
        with whole_file(settings.truth) as sink:
            sink.write(f"{render(truth_of(settings, files, tally))}\n".encode())
    return SampleReport(settings, tuple(files))


def make_files(settings: SampleSettings) -> Iterator[tuple[FileCounts, Tally]]:
    work, indexes = partial(make_file, settings), range(settings.num_files)
    workers = min(settings.workers, settings.num_files)
    if workers == 1:
        yield from map(work, indexes)
        return
    with ProcessPoolExecutor(workers, initializer=leave_interrupts_to_the_parent) as pool:
        yield from pool.map(work, indexes)


def make_file(settings: SampleSettings, index: int) -> tuple[FileCounts, Tally]:
    tally = Tally()
    with whole_file(settings.output_dir / settings.window_start(index).strftime(FILE_PATH)) as sink:
        counts = write_file(settings, index, sink, tally if settings.truth else None)
    return counts, tally


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as sink:
            yield sink
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ---- the command --------------------------------------------------------------------------------------


HELP = {
    "num_files": "files, one per five minutes",
    "events_per_file": "lines in a file, good and bad",
    "output_dir": "folder to put events/ into",
    "start": "time of the first file (default 2026-01-15T10:00:00Z)",
    "seed": "same seed, same bytes",
    "bad_rate": "share of lines that break the contract",
    "duplicate_rate": "share of lines delivered before",
    "late_rate": "share of sessions played before the file's five minutes",
    "size_spread": "how much files differ in size: 0.2 is a fifth up or down",
    "truth": "JSON file for the right answers (default: none)",
    "workers": "processes (default: one per core)",
    "products": "products in the shop (default: by the size of a file)",
    "users": "people who may come (default: by the size of a file)",
}


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parser() -> OneLineParser:
    options = OneLineParser(prog="generate_sample_data.py", description="Write sample shop events as files.")
    for name, meaning in HELP.items():
        default = getattr(SampleSettings, name)
        read: Any = {"start": moment, "truth": Path}.get(name, type(default))
        shown = meaning if "default" in meaning or default is None else f"{meaning} (default {default})"
        options.add_argument(option(name), type=read, default=default, metavar=name.upper(), help=shown)
    return options


def moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2026-01-15T10:00:00Z") from err


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 done, 1 cannot write, 130 stopped. Wrong arguments exit with 2."""
    options = parser()
    try:
        settings = SampleSettings(**vars(options.parse_args(argv)))
        totals = generate(settings, Progress(settings.num_files)).totals
    except SettingsError as err:
        options.error(str(err))
    except OSError as err:
        print(f"{options.prog}: cannot write: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.prog}: stopped; run it again to finish", file=sys.stderr)
        return 130
    counts = ", ".join(f"{count:,} {name}" for name, count in totals.items())
    files = "1 file" if settings.num_files == 1 else f"{settings.num_files} files"
    print(f"{files} in {settings.output_dir}: {counts}")
    return 0


class Progress:
    """A plain line on stderr every two seconds, and one at the end."""

    def __init__(self, file_count: int) -> None:
        self.file_count, self.done, self.said_at = file_count, 0, time.monotonic()

    def __call__(self, counts: FileCounts) -> None:
        self.done += 1
        if self.done == self.file_count or time.monotonic() - self.said_at >= 2:
            self.said_at = time.monotonic()
            print(f"sample  {self.done}/{self.file_count} files  {counts.path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
