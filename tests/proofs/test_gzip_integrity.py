"""Whatever happened to a compressed file, it lands with exactly its lines or is set aside with a reason.

Judged end to end, by what the ledger says and what the Parquet file holds. What a damaged file truly says is
Python's own `gzip` module's word. No bomb takes more memory than a small file, or keeps anybody busy.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import hostile
import pytest
from conftest import REPOSITORY
from landings import assert_landed_as_the_oracle_says, land_bytes

if TYPE_CHECKING:
    from proofs.forms import Proof

MIB = 1 << 20
FHCRC, FEXTRA, FNAME, FCOMMENT, RESERVED = 2, 4, 8, 16, 0xE0
REASONS = {"empty_file", "not_gzip", "gzip_truncated", "gzip_corrupt", "gzip_trailing_garbage", "gzip_bomb"}
BOMB_SECONDS = 2.0
BOMB_MEBIBYTES = 256


def text_of(rng: Random, lines: int) -> bytes:
    return b"".join(hostile.good_line(rng) + b"\n" for _ in range(lines))


def raw_deflate(text: bytes, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, strategy=strategy)
    return packer.compress(text) + packer.flush()


def trailer(text: bytes) -> bytes:
    return struct.pack("<II", zlib.crc32(text), len(text) & 0xFFFFFFFF)


def header(flags: int = 0, method: int = 8) -> bytes:
    """Return a header with these flags and the fields that go with them."""
    start = b"\x1f\x8b" + bytes([method, flags]) + struct.pack("<I", 1_700_000_000) + b"\x00\x03"
    if flags & FEXTRA:
        start += struct.pack("<H", 6) + b"AB\x02\x00\x1f\x8b"
    if flags & FNAME:
        start += b"events.jsonl\x00"
    if flags & FCOMMENT:
        start += "caf\u00e9".encode("latin-1") + b"\x00"
    if flags & FHCRC:
        start += struct.pack("<H", zlib.crc32(start) & 0xFFFF)
    return start


def member(text: bytes, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY, flags: int = 0) -> bytes:
    return header(flags) + raw_deflate(text, level, strategy) + trailer(text)


def what_python_says(compressed: bytes) -> bytes | None:
    """Return the text of a gzip file, or None if it is none or not intact."""
    try:
        return gzip.decompress(compressed) if compressed else None
    except (EOFError, OSError, zlib.error):
        return None


def is_intact(compressed: bytes) -> bool:
    """Whether zlib accepts a file; unlike Python's module it looks at the reserved flags of a header."""
    rest = compressed
    while rest:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            inflater.decompress(rest)
        except zlib.error:
            return False
        if not inflater.eof:
            return False
        rest = inflater.unused_data.lstrip(b"\0")
    return compressed != b""


def assert_never_silently_wrong(compressed: bytes, original: bytes, folder: Path, case: object) -> str:
    """Land a damaged file and return `landed` or the reason why it was set aside.

    What lands is the original, to the last line, and what is intact lands.
    """
    landed = land_bytes(compressed, folder)
    said = what_python_says(compressed)
    if landed.entry.status == "landed":
        assert said == original, (case, "landed, but its bytes are others")
        assert_landed_as_the_oracle_says(landed, original, case)
        return "landed"
    assert landed.entry.status == "set_aside", (case, landed.entry)
    assert landed.parquet is None, case
    assert landed.entry.lines == 0, case
    reason = str(landed.entry.reason)
    assert reason in REASONS, (case, reason)
    assert not is_intact(compressed), (case, "is intact", reason)
    return reason


# --- Small files: everything that can happen to a bit ----------------------------------------------------


def small_files() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "dynamic": lambda text: member(text, 9),
        "stored": lambda text: member(text, 0),
        "fixed": lambda text: member(text, 6, zlib.Z_FIXED),
        "named": lambda text: member(text, flags=FEXTRA | FNAME | FCOMMENT | FHCRC),
        "members": lambda text: b"".join(
            member(part, level)
            for part, level in ((text[:90], 9), (b"", 9), (text[90:300], 0), (text[300:], 6))
        ),
    }


@pytest.mark.parametrize("kind", small_files())
def test_a_small_file_cut_anywhere_is_set_aside(kind: str, proof: Proof, tmp_path: Path) -> None:
    text = text_of(proof.random(kind), 4)
    whole = small_files()[kind](text)
    # A cut exactly between two members cannot be seen: nothing in the format tells that one is missing.
    unseen = {0: b""} | _ends_of_members(whole)
    for length in range(len(whole)):
        outcome = assert_never_silently_wrong(
            whole[:length], unseen.get(length, text), tmp_path, (kind, "cut at", length)
        )
        assert (outcome == "landed") == (length in unseen and length > 0), (kind, length, outcome)
    assert assert_never_silently_wrong(whole, text, tmp_path, kind) == "landed"
    proof.tried("gzip files cut, at every byte", len(whole))


def _ends_of_members(whole: bytes) -> dict[int, bytes]:
    """Return where members end, but for the last, and the text up to there."""
    ends: dict[int, bytes] = {}
    rest, text = whole, b""
    while rest:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text += inflater.decompress(rest)
        rest = inflater.unused_data
        ends[len(whole) - len(rest)] = text
    ends.pop(len(whole))
    return ends


@pytest.mark.parametrize("kind", small_files())
def test_a_small_file_with_any_bit_flipped_never_lands_other_lines(
    kind: str, proof: Proof, tmp_path: Path
) -> None:
    text = text_of(proof.random(kind), 4)
    whole = small_files()[kind](text)
    landed = 0
    for position, bit in itertools.product(range(len(whole)), range(8)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        outcome = assert_never_silently_wrong(bytes(damaged), text, tmp_path, (kind, position, bit))
        landed += outcome == "landed"
    # Time, system, names and the like may differ; nothing else.
    assert landed >= 40
    proof.tried("gzip files with one bit flipped, every bit", 8 * len(whole))
    proof.tried("of them that land with the same lines (a harmless field of the header)", landed)


# --- Larger files: random damage -------------------------------------------------------------------------


def _flip_a_bit(rng: Random, whole: bytearray) -> None:
    whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)


def _change_bytes(rng: Random, whole: bytearray) -> None:
    start, count = rng.randrange(len(whole)), rng.randint(1, 4)
    whole[start : start + count] = rng.randbytes(len(whole[start : start + count]))


def _lose_bytes(rng: Random, whole: bytearray) -> None:
    start = rng.randrange(len(whole))
    del whole[start : start + rng.randint(1, 4)]


def _add_bytes(rng: Random, whole: bytearray) -> None:
    start = rng.randrange(len(whole))
    whole[start:start] = rng.randbytes(rng.randint(1, 4))


def _page(rng: Random, whole: bytearray) -> slice:
    size = rng.choice((512, 4096))
    start = rng.randrange((len(whole) + size - 1) // size) * size
    return slice(start, min(start + size, len(whole)))


def _zero_a_page(rng: Random, whole: bytearray) -> None:
    page = _page(rng, whole)
    whole[page] = bytes(page.stop - page.start)


def _lose_the_end(rng: Random, whole: bytearray) -> None:
    """As a torn write leaves it: the size is right, the last pages were never written."""
    start = _page(rng, whole).start
    whole[start:] = bytes(len(whole) - start)


def _swap_pages(rng: Random, whole: bytearray) -> None:
    size = rng.choice((512, 4096))
    one, other = rng.sample(range(len(whole) // size), 2)
    first, second = slice(one * size, (one + 1) * size), slice(other * size, (other + 1) * size)
    whole[first], whole[second] = whole[second], whole[first]


def _repeat_a_page(rng: Random, whole: bytearray) -> None:
    page = _page(rng, whole)
    whole[page.stop : page.stop] = whole[page]


def _lose_a_page(rng: Random, whole: bytearray) -> None:
    del whole[_page(rng, whole)]


DAMAGE: dict[str, Callable[[Random, bytearray], None]] = {
    "1 to 4 bytes changed": _change_bytes,
    "1 to 4 bytes lost": _lose_bytes,
    "1 to 4 bytes added": _add_bytes,
    "a page of zeros": _zero_a_page,
    "zeros to the end": _lose_the_end,
    "two pages swapped": _swap_pages,
    "a page written twice": _repeat_a_page,
    "a page lost": _lose_a_page,
}


def _damaged(
    proof: Proof, whole: bytes, text: bytes, what: str, count: int, folder: Path
) -> Iterator[tuple[object, str]]:
    for number in range(count):
        rng = proof.random(what, len(whole), number)
        damaged = bytearray(whole)
        (DAMAGE.get(what) or _flip_a_bit)(rng, damaged)
        case = (proof.seed, what, len(whole), number)
        yield case, assert_never_silently_wrong(bytes(damaged), text, folder, case)


@pytest.mark.parametrize("part", range(2))
def test_random_flips_in_a_larger_file_never_land_other_lines(
    part: int, proof: Proof, tmp_path: Path
) -> None:
    text = text_of(proof.random("larger", part), 800)
    whole = member(text, 6) if part == 0 else member(text[:70_000]) + member(text[70_000:], 1)
    count = proof.times(1_000, 10_000)
    refused = sum(
        outcome != "landed" for _, outcome in _damaged(proof, whole, text, "a bit", count, tmp_path)
    )
    assert refused > 0.99 * count
    proof.tried("larger gzip files with a random bit flipped", count)


@pytest.mark.parametrize("what", DAMAGE)
def test_random_damage_to_a_larger_file_never_lands_other_lines(
    what: str, proof: Proof, tmp_path: Path
) -> None:
    text = text_of(proof.random("larger", what), 800)
    whole = member(text)
    for _ in _damaged(proof, whole, text, what, proof.times(150, 1_500), tmp_path):
        pass
    proof.tried(f"larger gzip files with {what}", proof.times(150, 1_500))


def test_damage_that_shows_only_after_many_rows_leaves_none_of_them(proof: Proof, tmp_path: Path) -> None:
    """Here rows have been written by the time the damage is met: the file is larger than a block."""
    piece = text_of(proof.random("large"), 5_000)
    text = b"".join(piece for _ in range(proof.times(16, 40)))
    whole = member(text, 1)
    assert len(text) > proof.times(12, 30) * MIB
    tail = len(whole) // 50
    for number in range(proof.times(6, 60)):
        rng = proof.random("late damage", number)
        damaged = bytearray(whole)
        damaged[-1 - rng.randrange(tail)] ^= 1 << rng.randrange(8)
        case = (proof.seed, number)
        assert assert_never_silently_wrong(bytes(damaged), text, tmp_path, case) == "gzip_corrupt", case
        assert assert_never_silently_wrong(whole[: -1 - rng.randrange(tail)], text, tmp_path, case) in (
            "gzip_truncated"
        ), case
    proof.tried("gzip files of many blocks, damaged near the end", 2 * proof.times(6, 60))


# --- Forms -----------------------------------------------------------------------------------------------


def _forms() -> Iterator[tuple[str, bytes, bytes | str]]:
    """Yield a name, a file, and its text or the reason why it has none."""
    text = text_of(Random("forms"), 5)
    whole = member(text)
    yield "no byte", b"", "empty_file"
    yield "an empty member", member(b""), b""
    yield "many empty members", member(b"") * 50, b""
    yield "empty members around", member(b"") + whole + member(b""), text
    yield "a line over two members", member(text[:70]) + member(text[70:]), text
    yield "a member for every byte", b"".join(member(text[i : i + 1]) for i in range(len(text))), text
    for count in (1, 2, 511, 512, 4096, 3 * MIB):
        yield f"{count} zeros at the end", whole + bytes(count), text
        yield f"{count} zeros between members", whole + bytes(count) + whole, text + text
    for garbage in (b"x", b"\n", b"\xff", b"\x1f", b"\x1f\x8c", b"\x8b\x1f", b"\0\0x", text, b"PK\x03\x04"):
        yield f"{garbage[:9]!r} at the end", whole + garbage, "gzip_trailing_garbage"
    for start in (b"\x1f\x8b", b"\x1f\x8b\x08", whole[:9], whole[:-1], whole[:-8]):
        yield f"a second member of {len(start)} bytes", whole + start, "gzip_truncated"
    for plain in (b"{", b"\0", bytes(100), text, b"PK\x03\x04" + bytes(99), b"\x28\xb5\x2f\xfd" + bytes(99)):
        yield f"no gzip: {plain[:5]!r} and {len(plain)} bytes", plain, "not_gzip"
    yield "no gzip: zlib", zlib.compress(text), "not_gzip"
    yield "no gzip: raw deflate", raw_deflate(text), "not_gzip"
    yield "a mark before it", b"\xef\xbb\xbf" + whole, "not_gzip"
    boxes = whole
    for number in range(1, 31):
        boxes, box = member(boxes), boxes
        yield f"{number} gzip files around a gzip file", boxes, box
    for flags in range(256):
        reads: bytes | str = "gzip_corrupt" if flags & RESERVED else text
        yield f"header flags {flags}", header(flags) + raw_deflate(text) + trailer(text), reads
    for method in (*range(8), *range(9, 20), 255):
        yield f"method {method}", header(0, method) + whole[10:], "gzip_corrupt"
    for bit in range(64):
        end = (int.from_bytes(whole[-8:], "little") ^ (1 << bit)).to_bytes(8, "little")
        yield f"bit {bit} of CRC and length", whole[:-8] + end, "gzip_corrupt"
    yield "CRC and length of nothing", whole[:-8] + bytes(8), "gzip_corrupt"
    for crc, length in ((1, 0), (0, 1), (0, 1 << 31)):
        yield (
            f"nothing, CRC {crc}, length {length}",
            member(b"")[:-8] + struct.pack("<II", crc, length),
            ("gzip_corrupt"),
        )
    yield "text without a newline at the end", member(text[:-1]), text[:-1]
    yield "only a byte order mark", member(b"\xef\xbb\xbf"), b"\xef\xbb\xbf"


def test_every_form_of_file_is_named_for_what_it_is(proof: Proof, tmp_path: Path) -> None:
    forms = list(_forms())
    for name, compressed, reads in forms:
        text = reads if isinstance(reads, bytes) else b"\n"  # what is set aside is not looked at
        outcome = assert_never_silently_wrong(compressed, text, tmp_path, name)
        assert outcome == ("landed" if isinstance(reads, bytes) else reads), name
    proof.tried("forms of gzip files and of what is none", len(forms))


# --- Bombs -----------------------------------------------------------------------------------------------


def unfolding(block: bytes, times: int) -> bytes:
    """Return a valid member of a block again and again, compressed only once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(times):
        crc = zlib.crc32(block, crc)
    length = (len(block) * times) & 0xFFFFFFFF
    return header() + packed * times + b"\x03\x00" + struct.pack("<II", crc, length)


def _unfolding_less(fill: bytes, mebibytes: int) -> bytes:
    """Return a member of one line that no ratio betrays: part of each MiB of it is not to be compressed."""
    noise = bytes(Random(1).choices(fill if len(fill) > 1 else range(65, 90), k=16_000))
    return unfolding(noise + fill[:1] * (MIB - len(noise)), mebibytes)


LINE = text_of(Random("a line"), 1)


@dataclass(frozen=True)
class Bomb:
    """A file and what must become of it.

    Attributes:
        counts: lines, blank, valid, quarantined.
        takes: seconds of the processor; a file that lands line by line takes what its lines take.
    """

    make: Callable[[], bytes]
    reason: str | None = "gzip_bomb"
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    problem: str | None = None
    takes: float = BOMB_SECONDS


def _nested(line: bytes, count: int, problem: str = "nesting_too_deep") -> Bomb:
    return Bomb(lambda: member((line + b"\n") * count, 9), None, (count, 0, 0, count), problem)


def _landing(make: Callable[[], bytes], valid: int = 0, blank: int = 0, takes: float = BOMB_SECONDS) -> Bomb:
    return Bomb(make, None, (valid + blank, blank, valid, 0), takes=takes)


BOMBS: dict[str, Bomb] = {
    "1 GiB of zeros": Bomb(lambda: unfolding(bytes(MIB), 1024)),
    "1 GiB of newlines": Bomb(lambda: unfolding(b"\n" * MIB, 1024)),
    "1 GiB of lines of one digit": Bomb(lambda: unfolding(b"1\n" * (MIB // 2), 1024)),
    "1 GiB of empty objects": Bomb(lambda: unfolding(b"{}\r\n" * (MIB // 4), 1024)),
    "1 GiB of spaces": Bomb(lambda: unfolding(b" " * MIB, 1024)),
    "1 GiB of open brackets": Bomb(lambda: unfolding(b"[" * MIB, 1024)),
    "1 GiB of one string": Bomb(lambda: member(b'{"a":"') + unfolding(b"a" * MIB, 1024)),
    "1 GiB in 1,024 members": Bomb(lambda: member(bytes(MIB), 9) * 1024),
    # An event repeated to the byte unfolds 300 times at most: such a file is an honest one.
    "1 GiB of one event": _landing(
        lambda: unfolding(LINE * (MIB // len(LINE)), 1100), valid=MIB // len(LINE) * 1100, takes=30
    ),
    "a million empty members": Bomb(lambda: member(b"") * 1_000_000),
    "a million members of one byte": Bomb(lambda: member(b"\n") * 1_000_000),
    "90,000 members with padding between": _landing(lambda: (member(b"\n") + b"\0") * 90_000, blank=90_000),
    "a line of 100 MiB": Bomb(lambda: _unfolding_less(b"x", 100), None, (1, 0, 0, 1), "line_too_long"),
    "ten lines of 100 MiB": Bomb(
        lambda: b"".join([_unfolding_less(b"x", 100), member(b"\n")] * 10),
        None,
        (10, 0, 0, 10),
        "line_too_long",
    ),
    "a blank line of 400 MiB": _landing(lambda: _unfolding_less(b" \t", 400), blank=1),
    "five million newlines": _landing(lambda: member(b"\n" * 5_000_000, 9), blank=5_000_000),
    "200,000 lines of one digit": _nested(b"1", 200_000, "not_an_object"),
    "100,000 open brackets": _nested(b"[" * 100_000, 100),
    "100,000 open objects": _nested(b'{"a":' * 100_000, 30),
    "100,000 brackets of both kinds": _nested(b'[{"a":' * 50_000, 50),
    "100,000 brackets closed again": _nested(b"[" * 100_000 + b"]" * 100_000, 50),
    "100,000 closing brackets": _nested(b"]" * 100_000, 50, "json_invalid"),
    "100,000 brackets side by side": _nested(b"[" + b"[]," * 100_000 + b"0]", 20, "not_an_object"),
    "a string of 500,000 escaped quotes, never closed": _nested(b"[" * 33 + b'"' + b'\\"' * 500_000, 10),
    "500,000 backslashes": _nested(b"[" * 33 + b'"' + b"\\" * 500_000, 10),
    "500,000 quotes": _nested(b"[" * 33 + b'"' * 500_000, 10),
    "a name of 64 MiB": _landing(
        lambda: header()[:3] + b"\x08" + header()[4:] + b"n" * (64 * MIB) + b"\0" + member(LINE)[10:], valid=1
    ),
    "a name of 64 MiB that never ends": Bomb(
        lambda: header()[:3] + b"\x08" + header()[4:] + b"n" * (64 * MIB), "gzip_truncated"
    ),
    "300 members with the largest extra field": _landing(
        lambda: (
            (header()[:3] + b"\x04" + header()[4:] + b"\xff\xff" + bytes(65_535) + member(b"\n")[10:]) * 300
        ),
        blank=300,
    ),
    "ten million empty blocks": _landing(
        lambda: header() + b"\0\0\0\xff\xff" * 10_000_000 + b"\x03\0" + bytes(8)
    ),
    "100 MiB of zeros after the end": _landing(lambda: member(LINE) + bytes(100 * MIB), valid=1),
}


def cost_of_landing(path: Path) -> dict[str, Any]:
    """Land a file in a process of its own, and return what `landings` tells of it."""
    places = (REPOSITORY / "src", REPOSITORY / "tests")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, str(REPOSITORY / "tests" / "landings.py"), str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_or_lands_in_bounded_memory_and_time(
    name: str, proof: Proof, tmp_path: Path
) -> None:
    bomb = BOMBS[name]
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(bomb.make())
    told = cost_of_landing(path)
    assert (told["status"], told["reason"]) == ("set_aside" if bomb.reason else "landed", bomb.reason), told
    assert told["counts"] == list(bomb.counts), told
    assert told["reasons"] == ({bomb.problem: bomb.counts[3]} if bomb.problem else {}), told
    assert told["is_clean"], told
    assert told["mebibytes"] < BOMB_MEBIBYTES, told
    assert told["seconds"] < bomb.takes, told
    proof.tried("bombs, each below 256 MiB and, but for honest lines, 2 s")
