"""A million mutated lines land as the slow oracle says: the reasons, the values, the number and the bytes.

Three judges are compared on every line: the oracle, the strict judge, and the file that landing wrote, in
which the vectorised statement vouched for the lines it could.
"""

from __future__ import annotations

import dataclasses
import gc
import gzip
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import hostile
import oracle
import pyarrow as pa
import pytest
from landings import (
    LATEST_US,
    RULES,
    Row,
    assert_same_rows,
    land_bytes,
    landing_of,
    quarantined_row,
    rows_found,
)

from eventmint.bronze import land as land_module
from eventmint.bronze import parse as parse_module
from eventmint.bronze.judge import Verdict, judge_line
from eventmint.bronze.parse import BlockParser
from eventmint.engine.duckdb_engine import DuckDBEngine
from eventmint.engine.protocol import Engine
from eventmint.errors import FixSettings
from eventmint.landing import land_one
from eventmint.values import LedgerEntry

if TYPE_CHECKING:
    from proofs.forms import Proof

PARTS = 8
FILE_LINES = 25_000
FAMILIES: dict[str, dict[str, hostile.HostileClass]] = {
    "in plain order": {"good": hostile.good_line},
    "with odd white space": hostile._WHITE_SPACE,
    "with damaged bytes": hostile._BYTES,
    "of odd structure": hostile._STRUCTURE,
    "with escapes": hostile._ESCAPES,
    "with unknown members": hostile._UNKNOWN,
    "with odd numbers": hostile._NUMBERS,
    "with odd times": hostile._TIMES,
    "with odd fields": hostile._FIELDS,
    "of enormous length or depth": hostile._HEAVY,
}
DAMAGE: tuple[Callable[[Random, bytes], bytes], ...] = (
    hostile._flip_bit,
    hostile._insert_byte,
    hostile._insert_mark,
    hostile._delete_bytes,
    hostile._cut_end,
    hostile._repeat_piece,
    hostile._splice,
)


class CountingParser(BlockParser):
    """The parser itself, which tells at its end how many lines it could not vouch for."""

    vouched = 0

    def too_long(self, start: bytes, size: int, sha256: str, line_number: int) -> pa.Table:
        self.judged_count += 1
        return super().too_long(start, size, sha256, line_number)

    def close(self) -> None:
        CountingParser.vouched += self.line_count - self.blank_count - self.judged_count
        super().close()


def hostile_lines(rng: Random, count: int, file: int) -> Iterator[tuple[str, bytes]]:
    """Yield lines of every class in turn, each with the class; a fifth of them damaged once or twice more."""
    names = sorted(hostile.CLASSES.keys() - hostile.HEAVY)
    heavy = sorted(hostile.HEAVY)
    for number in range(count):
        if number % 2_500 == 0:
            name = heavy[(number // 2_500 + 10 * file) % len(heavy)]
            yield name, hostile.CLASSES[name](rng)
            continue
        name = names[number % len(names)]
        line = hostile.CLASSES[name](rng)
        draw = rng.random()
        if line and draw < 0.2:
            line = rng.choice(DAMAGE)(rng, line)
            if line and draw < 0.05:
                line = rng.choice(DAMAGE)(rng, line)
            name = "damaged once more"
        yield name, line


def assert_verdicts_agree(line: bytes, said: oracle.OracleVerdict, judged: Verdict, case: object) -> None:
    assert judged.problem == said.problem, (case, line[:300], judged.problem, said.problem)
    if said.values is None or judged.values is None:
        assert judged.values is None, (case, line[:300])
        assert said.values is None, (case, line[:300])
        return
    expected = tuple(said.values[field] for field in oracle.FIELDS)
    assert judged.values == expected, (case, line[:300])
    assert list(map(type, judged.values)) == list(map(type, expected)), (case, line[:300])
    extra = None if judged.extra is None else oracle.parse_json(judged.extra)
    assert extra == said.values["extra"], (case, line[:300])


def judged_rows(
    lines: Sequence[bytes], case: object, judge: Callable[..., Verdict] = judge_line
) -> tuple[Counter[Row], int]:
    """Return the rows that the strict judge makes of these lines, once the oracle agrees, and the blank."""
    rows: Counter[Row] = Counter()
    blank = 0
    for number, line in enumerate(lines, 1):
        said = oracle.judge(line, now=hostile.NOW)
        if said.blank:
            blank += 1
            continue
        judged = judge(line, RULES, LATEST_US)
        assert_verdicts_agree(line, said, judged, (case, number))
        if judged.problem is not None:
            rows[quarantined_row(line, judged.problem, number)] += 1
        elif judged.values is not None:
            rows["valid", *judged.values, judged.extra] += 1
    return rows, blank


@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_lines_land_as_the_oracle_says(
    part: int, proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(land_module, "BlockParser", CountingParser)
    # What landing has asked the judge already need not be asked again below: the same line, the same verdict.
    judge = lru_cache(FILE_LINES)(judge_line)
    monkeypatch.setattr(parse_module, "judge_line", judge)
    CountingParser.vouched = 0
    tried: Counter[str] = Counter()
    for file in range(proof.times(5, 25)):
        case = (proof.seed, part, file)
        made = list(hostile_lines(proof.random(*case), FILE_LINES, file))
        lines = [line for _, line in made]
        landed = land_bytes(gzip.compress(b"\n".join(lines) + b"\n", 1), tmp_path)
        expected, blank = judged_rows(lines, case, judge)
        entry = landed.entry
        assert (entry.status, entry.lines, entry.blank) == ("landed", len(lines), blank), case
        assert entry.valid == sum(n for row, n in expected.items() if row[0] == "valid"), case
        assert entry.quarantined == entry.lines - entry.blank - entry.valid, case
        assert_same_rows(rows_found(landed), expected, case)
        tried.update(name for name, _ in made)
    assert tried.keys() == {*hostile.CLASSES, "damaged once more"}
    assert min(count for name, count in tried.items() if name not in hostile.HEAVY) >= 200
    for family, members in FAMILIES.items():
        proof.tried(f"lines {family} ({len(members)} classes)", sum(tried[name] for name in members))
    proof.tried("lines of any class, damaged once or twice more", tried["damaged once more"])
    # Else the statement would not have been put to the test.
    assert CountingParser.vouched > 10_000
    proof.tried("of all these, lines that the vectorised statement vouched for", CountingParser.vouched)


def test_damage_next_to_good_lines_is_never_vouched_for_in_error(proof: Proof, tmp_path: Path) -> None:
    """Good lines of one key order with one or two bytes changed come nearest to a wrong vouching."""
    rng = proof.random("near")
    lines = []
    for _ in range(proof.times(20_000, 100_000)):
        line = hostile.good_line(rng)
        lines.append(line)
        for _ in range(rng.randint(1, 2)):
            position = rng.randrange(len(line))
            byte = bytes([rng.choice(b'"\\,:{}[] 0129-+.eEZTu\x00\x1f\x7f\x80\xc0\xed\xff')])
            line = line[:position] + byte + line[position + rng.randint(0, 1) :]
        lines.append(line)
    landed = land_bytes(gzip.compress(b"\n".join(lines), 1), tmp_path)
    expected, _ = judged_rows(lines, (proof.seed, "near"))
    assert_same_rows(rows_found(landed), expected, proof.seed)
    proof.tried("good lines, and the same with one or two bytes changed", len(lines))


# Spark's Python side leaves sockets of results that were read to the garbage collector.
@pytest.mark.filterwarnings(r"ignore:(Exception ignored in. <socket|unclosed <socket)")
def test_both_engines_land_the_same_rows(proof: Proof, tmp_path: Path) -> None:
    """Landing is one function for all engines; `tests/parity` compares whole lakes."""
    try:
        from eventmint.engine.spark_engine import SparkEngine

        spark = SparkEngine(2, 1024, tmp_path / "scratch")
        list(spark.map(len, ["a"], 0))
    except FixSettings as err:
        pytest.skip(f"needs Java 17: {err}")
    landings = []
    for file in range(4):
        lines = [
            line for _, line in hostile_lines(proof.random("engines", file), proof.times(5_000, 50_000), file)
        ]
        path = tmp_path / f"{file}.jsonl.gz"
        path.write_bytes(gzip.compress(b"\n".join(lines), 1))
        landings.append(landing_of(path, tmp_path / "staging"))
        proof.tried("mutated lines landed by both engines", len(lines))
    found: list[list[tuple[LedgerEntry, Counter[Row]]]] = []
    engines: tuple[Engine, ...] = (spark, DuckDBEngine(1, 512))
    for engine in engines:
        (tmp_path / "staging").mkdir()
        landed = list(engine.map(land_one, landings, 0))
        found.append([(one.entry, rows_found(one)) for one in landed])
        engine.close()
        shutil.rmtree(tmp_path / "staging")
    gc.collect()  # Spark's sockets, while their warning is expected
    for (entry, rows), (same_entry, same_rows) in zip(*found, strict=True):
        assert dataclasses.asdict(entry) == dataclasses.asdict(same_entry)
        assert_same_rows(rows, same_rows, (proof.seed, entry.path))
    assert sum(sum(rows.values()) for _, rows in found[0]) > proof.times(15_000, 150_000)
