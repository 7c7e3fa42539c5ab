"""Every instant and every amount is what the oracle says, and the same bits whoever computes it, and where.

End to end: from the text in a line to the rows of silver and gold and to the answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import hostile
import oracle
import pytest
from conftest import REPOSITORY
from deliveries import NOW, Shop, assert_lake_is
from lake_digest import digests_of

from eventmint.values import RunReport

if TYPE_CHECKING:
    from proofs.forms import Proof

ZONES = ("UTC", "America/St_Johns", "Australia/Lord_Howe")
OFFSETS = (
    *("Z", "+00:00", "-00:00", "+01:00", "-01:00"),
    *("+14:00", "-12:00", "+05:30", "+05:45", "+12:45", "-03:30"),
    *("-09:30", "+10:30", "+00:01", "-00:01", "+23:59", "-23:59", "+00:20", "-00:44"),
)
BAD_ZONES = (
    *("", "z", "+24:00", "-24:00", "+23:60", "+99:99"),
    *("+1:00", "+01", "+0100", "+01:00:00", "+01:0", " Z", "Z "),
    *("+ 1:00", "\u221201:00", "UTC", " UTC", "GMT"),
    *("+00:00Z", "ZZ", "Z+00:00", "[UTC]", "Europe/Berlin", "+-1:00"),
)
MOMENTS = (
    # first and last instants, years and days
    *("1969-12-31T23:59:59", "1970-01-01T00:00:00", "1970-01-01T12:00:00", "1969-07-20T20:17:40"),
    *("9999-12-31T23:59:59", "0001-01-01T00:00:00", "2025-06-16T12:30:00", "2025-06-16T12:30:01"),
    *("1999-12-31T23:59:59", "2000-01-01T00:00:00", "2024-12-31T23:59:59", "2025-01-01T00:00:00"),
    *("2000-02-29T12:00:00", "2024-02-29T23:59:59", "1972-02-29T00:00:00", "2025-03-01T00:00:00"),
    # where clocks of St John's, Lord Howe and Europe are put forward or back, by an hour or a half
    *("2025-03-09T02:30:00", "2024-11-03T01:30:00", "2025-04-06T01:45:00", "2024-10-06T02:15:00"),
    *("2025-03-30T02:30:00", "2024-10-27T02:30:00", "2006-10-29T00:01:00", "1981-03-01T00:00:00"),
    # hour and day edges
    *("2025-06-01T00:00:00", "2025-06-01T23:59:59", "2025-06-01T09:59:59", "2025-06-01T10:00:00"),
)
NO_MOMENTS = (
    *("2025-06-01T24:00:00", "2025-06-01T24:00:01", "2025-06-01T25:00:00", "2025-06-01T23:60:00"),
    *("2016-12-31T23:59:60", "2015-06-30T23:59:60", "2025-06-01T10:20:60", "2025-06-01T10:20:61"),
    *("2025-02-29T00:00:00", "1900-02-29T00:00:00", "2100-02-29T00:00:00", "2025-02-30T00:00:00"),
    *("2025-04-31T00:00:00", "2025-13-01T00:00:00", "2025-00-01T00:00:00", "2025-06-00T00:00:00"),
    *("2025-06-32T00:00:00", "0000-01-01T00:00:00", "10000-01-01T00:00:00", "25-06-01T00:00:00"),
    *("2025-6-1T00:00:00", "2025-06-01t10:20:30", "2025-06-01 10:20:30", "2025-06-01T10:20"),
    *("2025-06-01T10", "2025-06-01", "20250601T102030", "2025-W23-1T10:20:30", "2025-152T10:20:30"),
    *("01/06/2025 10:20:30", "2025/06/01T10:20:30", "2025-06-01T1:20:30", "2025-06-01T10:20:3"),
    *("T10:20:30", "1718000000", "1.718e9", "infinity", "epoch", "now", "today", "+2025-06-01T00:00:00"),
    *("-2025-06-01T00:00:00", "2025-06-01T10:20:30 BC", "2025-06-01T-1:20:30", "2025-06-01T10:20:-1"),
)
FRACTIONS = (
    *("", ".0", ".1", ".12", ".123", ".1234", ".12345", ".123456", ".1234567", ".12345678", ".123456789"),
    *(".999999", ".9999999", ".000001", ".000000", ".", ".5Z", ",5", ".-5", ".5e1"),
)


def timestamps() -> list[str]:
    """Return texts: every offset at every edge, every fraction, and everything that is no time."""
    made = [f"{moment}{offset}" for moment in MOMENTS for offset in OFFSETS]
    made += [f"{moment}.999999{offset}" for moment in MOMENTS for offset in ("Z", "+14:00", "-12:00")]
    made += [f"2025-06-01T10:20:30{fraction}{zone}" for fraction in FRACTIONS for zone in ("Z", "+05:30", "")]
    made += [f"2025-06-01T10:20:30{zone}" for zone in BAD_ZONES]
    made += [f"{moment}{zone}" for moment in NO_MOMENTS for zone in ("Z", "", "+01:00")]
    last = NOW + timedelta(hours=24)
    for step in (-1, 0, 1):
        moment = last + timedelta(microseconds=step)
        made += [
            (moment + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat(timespec="microseconds")
            + zone
            for minutes, zone in ((0, "Z"), (840, "+14:00"), (-720, "-12:00"), (345, "+05:45"))
        ]
    return list(dict.fromkeys(made))


def prices(rng: Random, count: int) -> list[str]:
    """Return JSON numbers: the edges in every notation, and random ones."""
    made = [
        *("0", "-0", "0.0", "-0.0", "0e5"),
        *("-0e-5", "0E999999999", "-0e" + "9" * 30, "0.000000", "0." + "0" * 400),
        *("1e400", "-1e400", "1e-400", "-1e-400"),
        *("1e308", "1e309", "1e" + "9" * 30, "1e-" + "9" * 30, "1.0e0"),
        *("999999999", "999999999.999999", "999999999.9999990"),
        *("999999999.9999991", "1000000000", "1e9", "1E9"),
        *("1000000000.0", "0.1e10", "0.9999999999e9", "9.99999999999999e8"),
        *("99999999999e-2", "1e8", "1e-6", "1e-7"),
        *("0.000001", "0.0000001", "0.0000010", "0.0000011"),
        *("1.000001", "1.0000001", "10e-7", "1000000000000000e-6"),
        *("0.1", "0.2", "0.3", "0.10", "0.30000000000000004"),
        *("1.005", "2.675", "4.35", "1.15", "19.99", "33.33"),
        *("0.1000000000000000055511151231257827", "123456789.123456"),
        *("123456789.1234565", "87654321.987654"),
        *("-1", "-0.01", "-0.000001", "-1e-7"),
        *("-999999999", "9" * 400, "1." + "0" * 400 + "1", "1" + "0" * 400 + "e-400"),
        *("1E+2", "1e+02", "1.5e1", "15e-1", "0.15e+1"),
        *("150.000e-2", "12e0", "1e00", "5e-324", "2.2250738585072014e-308"),
        *("9007199254740993", "9007199254740993e-7"),
        *("9007199.254740993", "4503599.627370497", "562949953.421311"),
    ]
    for _ in range(count):
        digits = str(rng.randrange(10 ** rng.randint(1, 16)))
        point = rng.randint(1, len(digits))
        mantissa = digits[:point] + ("." + digits[point:] if point < len(digits) else "")
        made.append(
            mantissa + rng.choice(("", "", "", f"e-{rng.randint(0, 8)}", f"E{rng.randint(0, 8)}", "e+01"))
        )
    return list(dict.fromkeys(made))


# Leading zeros and the like are no JSON; a text is no number.
NO_PRICES = (
    *("01", "00.5", "+1", ".5", "1.", "1e", "1,5"),
    *("1_000", "0x10", "NaN", "Infinity", "-Infinity", "$1", "1f"),
    *('"1"', '"1.5"', '"1e2"', '""', '"NaN"', "true", "[]", "{}", "null"),
)
QUANTITIES = (
    *("1", "2", "3", "7", "1000", "999999999"),
    *("1000000000", "2147483646", "2147483647", "2147483648", "0", "-0"),
    *("-1", "1.0", "1e0", "1E2", "4294967297"),
    *("9223372036854775808", "9" * 400, "01", '"1"', "true", "null"),
)


def purchase(user: str, moment: str, quantity: str, price: str) -> bytes:
    return (
        f'{{"timestamp":{json.dumps(moment)},"user_id":"{user}","session_id":"s","event_type":"purchase",'
        f'"product_id":"p{len(user) % 3}","category":"c","quantity":{quantity},"price":{price}}}'
    ).encode()


def lines_of_times() -> list[bytes]:
    return [purchase(f"t{n}", text, "2", "1.25") for n, text in enumerate(timestamps())]


def lines_of_amounts(rng: Random, count: int) -> list[bytes]:
    moment = "2025-06-14T10:20:30Z"
    given = [*prices(rng, count), *NO_PRICES]
    lines = [purchase(f"a{n}", moment, "1", price) for n, price in enumerate(given)]
    factors = ("0.000001", "0.1", "999999999.999999", "123456789.123457", "0", "-0.0")
    lines += [
        purchase(f"q{n}-{price}", moment, quantity, price)
        for n, quantity in enumerate(QUANTITIES)
        for price in factors
    ]
    # The largest amount there is, often: what a sum must hold.
    most = [purchase(f"m{n}", moment, "2147483647", "999999999.999999") for n in range(200)]
    return [*lines, *most]


def run_at_noon(shop: Shop) -> RunReport:
    """Run at `NOW` to the microsecond: the latest instant that an event may have depends on it."""
    return shop.lake.run(shop.source, now=NOW)


def assert_lake_of(lines: list[bytes], folder: Path) -> oracle.OracleLake:
    shop = Shop(folder)
    shop.deliver("first", *lines[::2])
    shop.deliver("second", *lines[1::2])
    report = run_at_noon(shop)
    expected = shop.expected()
    assert report.quarantined_by_reason == expected.quarantined_by_reason
    assert report.laws_hold
    assert_lake_is(shop.lake, expected)
    return expected


def test_every_timestamp_is_the_instant_that_the_oracle_says(proof: Proof, tmp_path: Path) -> None:
    lines = lines_of_times()
    assert len(lines) >= 500
    expected = assert_lake_of(lines, tmp_path)
    # Each fate is met, each many times.
    assert expected.valid > 200
    for fate in ("invalid", "no_zone", "out_of_range"):
        assert expected.quarantined_by_reason[f"timestamp_{fate}"] > 10, fate
    proof.tried("timestamps, from the text to silver, gold and the answers", len(lines))


def test_every_amount_is_exact(proof: Proof, tmp_path: Path) -> None:
    lines = lines_of_amounts(proof.random("amounts"), proof.times(500, 5_000))
    expected = assert_lake_of(lines, tmp_path)
    assert expected.valid > 400
    for reason in ("price_out_of_range", "price_too_precise", "price_wrong_type", "quantity_out_of_range"):
        assert expected.quarantined_by_reason[reason] >= 3, reason
    (hour,) = expected.hourly_revenue
    assert hour["total_revenue"] > 200 * 2147483647 * 999999999
    proof.tried("amounts, from the text to silver, gold and the answers", len(lines))


# --- The same bits ---------------------------------------------------------------------------------------


def lines_of_a_shop(rng: Random, count: int) -> list[bytes]:
    """Return times and amounts of all kinds among the events of a shop, so that there is much to add up."""
    return [*lines_of_times(), *lines_of_amounts(rng, 300), *(hostile.good_line(rng) for _ in range(count))]


def delivered(folder: Path, lines: list[bytes], files: int) -> Shop:
    shop = Shop(folder)
    for number in range(files):
        shop.deliver(f"file-{number}", *lines[number::files])
    return shop


def digests_elsewhere(source: Path, workers: int, zone: str) -> dict[str, str]:
    """Return the digests of a lake that a process with so many workers makes in that time zone."""
    places = (REPOSITORY / "src", REPOSITORY / "tests")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "TZ": zone}
    command = [sys.executable, str(REPOSITORY / "tests" / "lake_digest.py"), str(source), str(workers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("workers", "zone"), [(1, ZONES[1]), (2, ZONES[2]), (4, ZONES[0])])
def test_any_number_of_workers_in_any_time_zone_make_the_same_bits(
    workers: int, zone: str, proof: Proof, tmp_path: Path
) -> None:
    lines = lines_of_a_shop(proof.random("shop"), proof.times(6_000, 60_000))
    shop = delivered(tmp_path, lines, 5)
    run_at_noon(shop)
    assert_lake_is(shop.lake, shop.expected())
    expected = digests_of(shop)
    for other in ZONES if proof.is_long else (zone,):
        assert digests_elsewhere(shop.source, workers, other) == expected, (workers, other)
        proof.tried("lakes made anew with 1, 2 or 4 workers in one of three time zones, bit by bit the same")


@pytest.mark.parametrize("part", range(2))
def test_any_order_of_files_and_lines_makes_the_same_bits(part: int, proof: Proof, tmp_path: Path) -> None:
    lines = lines_of_a_shop(proof.random("order", part), proof.times(3_000, 30_000))
    shop = delivered(tmp_path / "first", lines, 3)
    run_at_noon(shop)
    expected = digests_of(shop)
    for number in range(proof.times(2, 10)):
        rng = proof.random("order", part, number)
        rng.shuffle(lines)
        shuffled = delivered(tmp_path / str(number), lines, rng.randint(1, 6))
        run_at_noon(shuffled)
        assert digests_of(shuffled) == expected, (proof.seed, part, number)
        proof.tried("lakes of the same lines in another order and other files, bit by bit the same")
