"""What the JSON standard rejects is quarantined, what it accepts is judged by the contract, nothing crashes.

The forms are made from the grammar of RFC 8259: each is labelled by how it was made. Each is tried as a whole
line, as the value of a field that the contract does not know, and as the value of each field that it does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import hostile
import oracle
import pytest
from conftest import REPOSITORY
from deliveries import gzipped
from landings import LATEST_US, RULES, assert_landed_as_the_oracle_says, land_bytes

from eventmint.bronze.judge import judge_line

if TYPE_CHECKING:
    from proofs.forms import Proof

# What the standard says; "either" where it leaves the choice to the parser.
Label = Literal["accepted", "rejected", "either"]
REFUSED = {"json_invalid", "not_utf8", "nesting_too_deep"}
VERBS = {"accepted": "accepts", "rejected": "rejects", "either": "leaves to the parser"}
CHUNKS = 6

SPACES = ("", " ", "\t", "\r", " \t\r ")
NO_SPACES = tuple("\x0b\x0c\xa0\x85\u2028\u2029\u3000\u200b\ufeff\u2060\x00")
SCALARS = ("true", "false", "null", "0", "-1.5e3", '""', '"text"')
NO_SCALARS = (
    *("True", "TRUE", "tru", "truee", "nul", "NULL", "None", "nil", "undefined", "fals", "yes", "t", "n"),
    *("NaN", "nan", "-NaN", "+NaN", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "Inf", "infinity"),
)
ESCAPES = (r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t")


def _numbers() -> Iterator[tuple[str, Label]]:
    for sign in ("", "-"):
        for whole in ("0", "1", "9", "10", "123456789012345678901234567890", "9" * 400, "9" * 5_000):
            for fraction in ("", ".0", ".5", ".000", "." + "1" * 400):
                for exponent in ("", "e0", "E5", "e+5", "e-5", "E-05", "e400", "e-400"):
                    yield sign + whole + fraction + exponent, "accepted"
    yield "1e" + "9" * 5_000, "accepted"
    yield "1e-" + "9" * 5_000, "accepted"
    bad = (
        *("00", "01", "-01", "-00", "007", "+1", "+0", "++1"),
        *("--1", "-", "+", ".", ".5", "-.5", "5.", "-5.", "0."),
        *("0.e1", "1.e1", "e1", "E1", "1e", "1E", "1e+"),
        *("1e-", "0e", "0e+", "1.0e", "1.0e-", "1e1.5", "1e0x"),
        *("0x1F", "0X1f", "0b1", "0o7", "1_000", "1,000"),
        *("1 000", "1.2.3", "1..2", "1e5e5", "- 1", "-a", "1a"),
        *("1f", "1L", "1n", "0.3e", "\uff11", "\u0661"),
        *("1\u0660", "\u2212" + "1", "1/2", "(1)", "1-1", "\u221e"),
        *("1.\u0661", "$1", "1%", "1\x00", "-\x00", "1\xa0", "1e\uff11", "1.0f", "#1", "1:2", "1;"),
    )
    for text in bad:
        yield text, "rejected"


def _strings() -> Iterator[tuple[str, Label]]:
    for code in (*range(0x20, 0x81), 0xA0, 0x7FF, 0x800, 0x2028, 0xFEFF, 0xFFFD, 0xFFFF, 0x10FFFF):
        char = chr(code)
        if char not in '"\\':
            yield f'"{char}"', "accepted"
    for code in range(0x20):
        if chr(code) != "\n":  # it would end the line
            yield f'"a{chr(code)}b"', "rejected"


def _escapes() -> Iterator[tuple[str, Label]]:
    for escape in ESCAPES:
        yield f'"{escape}"', "accepted"
        yield f'"a{escape}b{escape}"', "accepted"
    for code in range(0x21, 0x7F):
        if chr(code) not in '"\\/bfnrtu':
            yield f'"\\{chr(code)}"', "rejected"
    for digits in (
        *("0000", "0001", "001F", "0022", "005c", "007F"),
        *("00e9", "20AC", "D7ff", "E000", "FFFE"),
    ):
        yield f'"\\u{digits}"', "accepted"
    for digits in (*("", "0", "00", "004", "004G", "00_4", "-041"), *("+041", "0x41", "00\uff141", "{41}")):
        yield f'"\\u{digits}"', "rejected"
    for text in (r"\U0041", r"\x41", r"\0", r"\v", r"\e", r"\'", r"\a", "\\\u00e9", "\\\t", "\\\x00", "\\\r"):
        yield f'"{text}"', "rejected"


def _surrogates_and_quotes() -> Iterator[tuple[str, Label]]:
    for pair in (
        r"\ud83d\ude00",
        r"\uD800\uDC00",
        r"\udbff\udfff",
        r"\uD83D\ude00\uD83D\uDE00",
        r"a\ud834\udd1eb",
    ):
        yield f'"{pair}"', "accepted"
    alone = (
        *(r"\ud800", r"\udbff", r"\udc00"),
        *(r"\udfff", r"\ude00\ud83d", r"\ud800\ud800", r"\ud800\ud800\udc00"),
        *(r"\ud800a", r"a\udc00", r"\ud800\n", r"\ud83d\u0041", r"\ud800\ud"),
    )
    for text in alone:
        yield f'"{text}"', "rejected" if text.endswith(r"\ud") else "either"
    for text in (
        '"',
        '"a',
        'a"',
        '"\\"',
        '"""',
        '"a""b"',
        "'a'",
        "`a`",
        "\u201ca\u201d",
        '"a" "b"',
        '"a"b',
        'u"a"',
    ):
        yield text, "rejected"
    yield '"' + "\\\\" * 1_000 + '"', "accepted"
    yield '"' + "\\\\" * 1_000 + '\\"', "rejected"
    yield '"' + "x" * 100_000 + '"', "accepted"


def _structures() -> Iterator[tuple[str, Label]]:
    for text in (
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        '{"a":{}}',
        '{"a":[]}',
        "[[],[]]",
        '{"":0}',
        '{"a":1,"b":2}',
        '[{"a":1}]',
    ):
        yield text, "accepted"
    for scalar in SCALARS:
        for text in (
            scalar,
            f"[{scalar}]",
            f"[{scalar},{scalar}]",
            f'{{"a":{scalar}}}',
            f'{{"a":[{scalar}]}}',
        ):
            yield text, "accepted"
    for scalar in NO_SCALARS:
        for text in (scalar, f"[{scalar}]", f'{{"a":{scalar}}}'):
            yield text, "rejected"
    for space in SPACES:
        yield (
            f'{space}{{{space}"a"{space}:{space}[{space}1{space},{space}2{space}]{space}}}{space}',
            "accepted",
        )
    for space in NO_SPACES:
        for text in (
            f"{space}[]",
            f"[]{space}",
            f"[{space}]",
            f"[1{space}]",
            f'{{"a"{space}:1}}',
            f'{{"a":{space}1}}',
        ):
            yield text, "rejected"
    bad = (
        *("[", "]", "{", "}", "[[", "[]]", "[}", "{]"),
        *("[1", "1]", '{"a"', '{"a":', '{"a":1', '{"a":1]', "[1}", "[[]"),
        *(",", ":", "[,]", "[1,]", "[,1]", "[1,,2]"),
        *("[1 2]", "[1:2]", "[1;2]", "[:]", "{,}", '{"a":1,}', '{,"a":1}'),
        *('{"a" 1}', '{"a"::1}', '{"a"=1}', '{"a"=>1}'),
        *('{"a":}', '{"a"}', '{"a",}', '{"a":1 "b":2}', '{"a":1,,"b":2}'),
        *("{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{[]:1}"),
        *("{{}:1}", '{"a":1:2}', "{:1}", '{"a":a}', "{true:1}"),
        *("[] []", "{}{}", "1 2", "null null", "[]x", "{}x", "[],"),
        *("{},", "{};", "x{}", "null,", '"a":1', "()", "<a/>"),
        *("/**/[]", "[]/**/", "[]//", "//[]", "#[]", "[]#"),
        *("[/**/]", "[1/**/]", "<!---->[]", "--[]", "[]--", "/*", "//"),
        *("*", "&", "?", "@", "\\", "\\u005b]", "\\n"),
        *("[\\u0031]", "[\\n]", "...", "[...]", "[..1]", "[*]", "[ a ]"),
        *("@{}", "!!str a", "- a", "a: 1", "a=1"),
        *("%YAML", "<?xml?>", "b'{}'", "callback({})", ")]}',{}", "\x1e{}"),
        *("[1,2", '["a', '["a"', '["a",', '{"a":"b', '{"a":"b"'),
        *('{"a":"b",', '{"a":[', '{"a":{', "[tru", "[1e", "[-"),
    )
    for text in bad:
        yield text, "rejected"
    yield '{"a":1,"a":1}', "either"
    yield '{"a":1,"a":2}', "either"
    yield '{"a":{"b":1,"b":2}}', "either"


def _nesting() -> Iterator[tuple[str, Label]]:
    for depth in (2, 30, 32, 33, 64, 500, 10_000):
        label: Label = "accepted" if depth < 31 else "either"
        yield "[" * depth + "]" * depth, label
        yield '{"a":' * depth + "1" + "}" * depth, label
        yield '[{"a":' * (depth // 2) + "[]" + "}]" * (depth // 2), label
        yield "[" * depth, "rejected"
        yield '{"a":' * depth, "rejected"
        yield "[" * depth + "]" * (depth - 1), "rejected"
        yield "[" * depth + "]" * (depth + 1), "rejected"
    yield "[" * 100_000, "rejected"
    yield '[{"":' * 50_000, "rejected"
    yield "[" + "[]," * 20_000 + "[]]", "accepted"


def _encodings() -> Iterator[tuple[bytes, Label]]:
    """Yield forms that are no text in UTF-8, or are and do not look like it."""
    bodies = (
        *(b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xc0"),
        *(b"\xc1", b"\xf5", b"\xe9", b"\xfc", b"\xc3", b"\xe2\x82"),
        *(b"\xf0\x9f\x98", b"\xc0\x80", b"\xc0\xaf"),
        *(b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf"),
        *(b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80"),
        *(b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80"),
        *(b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
        *(b"\xc3\x28", b"\xe2\x28\xa1", b"\xc3\xa9\xff"),
    )
    for body in bodies:
        yield b'"' + body + b'"', "rejected"
        yield b"[" + body + b"]", "rejected"
        yield b'{"' + body + b'":1}', "rejected"
        yield body, "rejected"
    for text in ('["a"]', "[]", "1"):
        for codec in ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-32"):
            yield text.encode(codec), "rejected"
        yield b"\xef\xbb\xbf" + text.encode(), "rejected"
        yield text.encode() + b"\xef\xbb\xbf", "rejected"
        yield b"\xef\xbb" + text.encode(), "rejected"
    for text in ('"\u00e9"', '"\u73a9"', '"\U0001f600"', '"\u0080"', '"\ud7ff"', '"\ue000"'):
        yield text.encode(), "accepted"
    yield '["\u00e9"]'.encode("latin-1"), "rejected"
    yield b"+ADs-", "rejected"


def all_forms() -> list[tuple[bytes, Label]]:
    texts = (*_numbers(), *_strings(), *_escapes(), *_surrogates_and_quotes(), *_structures(), *_nesting())
    made = [(text.encode(), label) for text, label in texts]
    return [*dict([*made, *_encodings()]).items()]


FORMS = all_forms()


def in_all_places(form: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the form as a line of its own, as an unknown field's value, and as that of each known field."""
    yield "line", form
    event = {
        "timestamp": "2025-06-01T10:20:30Z",
        "user_id": "u1",
        "session_id": "s1",
        "event_type": "purchase",
        "product_id": "p1",
        "category": "toys",
        "quantity": 2,
        "price": 1.25,
        "search_query": "lamp",
    }
    yield "unknown", json.dumps(event).encode()[:-1] + b',"colour":' + form + b"}"
    for field in event:
        start, _, rest = json.dumps({**event, field: "HERE"}).partition('"HERE"')
        yield field, start.encode() + form + rest.encode()


def assert_verdict_follows_the_standard(label: Label, place: str, line: bytes, form: bytes) -> None:
    verdict = judge_line(line, RULES, LATEST_US)
    reasons = (verdict.problem or "").split(", ")
    case = (place, form[:80], len(form), verdict.problem)
    if label == "rejected":
        assert len(reasons) == 1, case
        assert reasons[0] in REFUSED, case
    elif label == "accepted":
        assert REFUSED.isdisjoint(reasons), case
        if place == "line":
            assert reasons != [""], case  # none of them is an event
            assert form.strip()[:1] == b"{" or reasons == ["not_an_object"], case
        elif place == "unknown":
            assert verdict.problem is None, case
            assert verdict.extra is not None, case
            kept = oracle.parse_json(verdict.extra)
            assert oracle.canonical_json(kept) == oracle.canonical_json(
                {"colour": oracle.parse_json(form.decode())}
            ), case
        else:
            assert all(reason == "" or reason.startswith(f"{place}_") for reason in reasons) or (
                place == "event_type"
            ), case
    else:
        assert place != "line" or verdict.problem is not None, case


def _broken_by_its_place(place: str, form: bytes) -> bool:
    """Whether a form that is no JSON makes a line that is: what is too much on its own may fit in between."""
    line = dict(in_all_places(form))[place]
    try:
        return oracle.json_depth(line.decode()) is not None
    except UnicodeDecodeError:
        return False


def test_the_labels_are_those_of_the_grammar() -> None:
    """Two readings of the standard: the way a form was made, and the recogniser of the oracle."""
    assert len(FORMS) >= 300
    assert Counter(label for _, label in FORMS).keys() == {"accepted", "rejected", "either"}
    for form, label in FORMS:
        try:
            is_json = oracle.json_depth(form.decode()) is not None
        except UnicodeDecodeError:
            is_json = False
        assert label == "either" or is_json == (label == "accepted"), form[:80]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_form_in_every_place_is_judged_as_the_standard_says(
    chunk: int, proof: Proof, tmp_path: Path
) -> None:
    lines: list[bytes] = []
    for form, label in FORMS[chunk::CHUNKS]:
        for place, line in in_all_places(form):
            if label == "rejected" and _broken_by_its_place(place, form):
                continue
            assert_verdict_follows_the_standard(label, place, line, form)
            lines.append(line)
        proof.tried(f"forms of JSON that the standard {VERBS[label]}")
    # Behind good lines of the same keys in the same order, which the vectorised statement learns from.
    good = [dict(in_all_places(b'"u%d"' % number))["user_id"] for number in range(200)]
    text = b"\n".join([*good, *lines, *good])
    assert_landed_as_the_oracle_says(land_bytes(gzipped(text), tmp_path), text, chunk)
    proof.tried("lines that these forms make: alone, as an unknown field, as each known one", len(lines))


# --- From outside ----------------------------------------------------------------------------------------


def whole_files() -> dict[str, bytes]:
    """Return what files of a corpus look like when each is compressed as it lies there, not line by line."""
    event = json.dumps(json.loads(hostile.good_line(Random("whole"))))
    pretty = json.dumps(json.loads(event), indent=2)
    return {
        "nothing": b"",
        "a newline": b"\n",
        "blank lines": b"\n \n\t\r\n",
        "a lone mark": b"\xef\xbb\xbf",
        "a mark and an event": b"\xef\xbb\xbf" + event.encode(),
        "two marks and an event": b"\xef\xbb\xbf" * 2 + event.encode(),
        "part of a mark": b"\xef\xbb",
        "no newline at the end": event.encode(),
        "CR LF": event.encode() + b"\r\n" + event.encode() + b"\r\n",
        "CR alone": event.encode() + b"\r" + event.encode() + b"\r",
        "one text over many lines": pretty.encode(),
        "an array over many lines": b"[\n" + event.encode() + b",\n" + event.encode() + b"\n]\n",
        "a newline inside a string": b'["new\nline"]',
        "UTF-16 with a mark": event.encode("utf-16"),
        "UTF-16 without one": event.encode("utf-16-le"),
        "UTF-32": event.encode("utf-32"),
        "500 arrays": b"[" * 500 + b"]" * 500,
        "500 arrays around an event": b"[" * 500 + event.encode() + b"]" * 500,
        "100,000 open arrays": b"[" * 100_000,
        "50,000 open arrays and objects": b'[{"":' * 50_000 + b"\n",
        "a key twice": event.encode()[:-1] + b',"user_id":"u2"}\n',
        "two texts on a line": event.encode() * 2,
        "nothing but NUL": bytes(1_000),
        "a scalar": b"null",
        "comments": b"// x\n" + event.encode() + b" // x\n# x\n",
    }


def run_the_command(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """Run `eventmint run` over these files in a process of its own and return its report."""
    source = folder / "source"
    source.mkdir()
    for number, text in enumerate(files.values()):
        path = source / f"{number:03}.jsonl.gz"
        # A member without text before it: files of equal text are different files.
        path.write_bytes(gzipped(b"") * number + gzipped(text))
        os.utime(path, (1_750_000_000, 1_750_000_000))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-m", "eventmint.cli", "run", str(source), "--json", "--max-quarantine", "1"]
    done = subprocess.run(
        [*command, "--workers", "1"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_command_says_the_same_of_a_file_of_all_forms_and_of_whole_files(
    proof: Proof, tmp_path: Path
) -> None:
    forms = b"\n".join(line for form, _ in FORMS[::3] for _, line in in_all_places(form))
    files = {"forms": forms, **whole_files()}
    report = run_the_command(tmp_path, files)
    expected = oracle.lake(files.values(), now=datetime.now(UTC))
    totals = report["totals"]
    found = {
        name: totals[name] for name in ("lines", "blank", "valid", "quarantined", "events", "duplicates")
    }
    assert found == {
        "lines": expected.lines,
        "blank": expected.blank,
        "valid": expected.valid,
        "quarantined": expected.quarantined,
        "events": len(expected.events),
        "duplicates": expected.duplicates,
    }
    assert report["quarantined_by_reason"] == expected.quarantined_by_reason
    assert report["set_aside"] == {}
    assert report["laws_hold"]
    proof.tried("lines of forms through `eventmint run`", expected.lines)
    proof.tried("whole files as a corpus has them through `eventmint run`", len(files) - 1)


@pytest.mark.parametrize("name", whole_files())
def test_a_whole_file_lands_line_by_line(name: str, proof: Proof, tmp_path: Path) -> None:
    text = whole_files()[name]
    assert_landed_as_the_oracle_says(land_bytes(gzipped(text), tmp_path), text, name)
    proof.tried("whole files as a corpus has them")
