"""One record of CSV: what any writer writes is read back, what RFC 4180 does not allow is refused."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmint.bronze.csv_line import csv_fields

ODD = st.text(st.sampled_from('ab",;\r \t|éß'), max_size=12)


def written(fields: list[str], delimiter: str, quoting: int) -> str:
    """Return the record as Python's own writer writes it, without the end of the line."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\r\n").writerow(fields)  # type: ignore[arg-type]
    return file.getvalue().removesuffix("\r\n")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ODD, min_size=2, max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["", "\r"]),
)
def test_what_a_writer_writes_is_read_back(fields: list[str], delimiter: str, quoting: int, end: str) -> None:
    assert csv_fields(written(fields, delimiter, quoting) + end, delimiter) == fields


@settings(max_examples=150, deadline=None)
@given(ODD)
def test_what_is_read_is_what_a_strict_reader_reads(text: str) -> None:
    fields = csv_fields(text, ",")
    if fields is not None and text not in ("", "\r"):  # of which that reader makes no field at all
        assert [fields] == list(csv.reader([text], strict=True))


@pytest.mark.parametrize(
    "text", ['"', 'a"b', '"a"b', '"a" ,b', ' "a"', 'a,"b', '"a""', "a\rb", '"a"\r,b', 'a"', '""a"', ',",']
)
def test_a_quote_or_a_return_out_of_place_is_refused(text: str) -> None:
    assert csv_fields(text, ",") is None


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", [""]),
        (",", ["", ""]),
        ('""', [""]),
        ('"a\rb",', ["a\rb", ""]),
        ('"""a"""', ['"a"']),
        (" a b, c ", [" a b", " c "]),
    ],
)
def test_a_record_has_the_fields_of_rfc_4180(text: str, fields: list[str]) -> None:
    assert csv_fields(text, ",") == fields


@pytest.mark.parametrize("text", ['"' * 999_999, '""' * 500_000, '"a",' * 250_000 + '"', '"' + "a" * 999_999])
def test_no_line_of_a_megabyte_takes_long(text: str) -> None:
    started = time.process_time()
    csv_fields(text, ",")
    assert time.process_time() - started < 2
