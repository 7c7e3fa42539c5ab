"""Lines of another format: read by a mapping into events, which are judged as any others.

A line that names several products is as many events, all valid or the whole line quarantined; the ledger
counts it as that many lines. What the mapping does not read stays with each event as `extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from eventmint.bronze.csv_line import csv_fields
from eventmint.bronze.judge import (
    MAX_QUANTITY,
    Pairs,
    Verdict,
    is_text,
    judge_event,
    judge_line,
    read_object,
    read_text,
    to_json,
)
from eventmint.bronze.mapped_fields import find, read_fields, without
from eventmint.bronze.parse import WHITE_SPACE, LineParser, Row, rows_to_table
from eventmint.values import EVENT_COLUMNS, PAST_RETENTION, EventMapping, EventRules, JsonPath

# So many times its own length may a line become: what its events share is written with each of them.
MAX_GROWTH = 64
_QUANTITY = EVENT_COLUMNS.index("quantity")
Record = dict[str, Any]


class MappedParser(LineParser):
    """Parses lines of another format, one by one."""

    def __init__(self, rules: EventRules, mapping: EventMapping, latest_us: int) -> None:
        super().__init__(rules, latest_us)
        self._judge = MappedJudge(rules, mapping, latest_us)

    def parse(self, block: bytes, first_line_number: int) -> pa.Table:
        rows: list[Row] = []
        for number, line in enumerate(block.split(b"\n"), first_line_number):
            self.line_count += 1
            if not line.strip(WHITE_SPACE):
                self.blank_count += 1
                continue
            verdicts = self._judge.judge(line)
            self.line_count += len(verdicts) - 1
            rows += [self.row_of(verdict, line, number) for verdict in verdicts]
        return rows_to_table(rows)


def judge_of(rules: EventRules, latest_us: int) -> Callable[[bytes], list[Verdict]]:
    """Return what gives the verdicts of a line that stands alone, in the format that the rules name."""
    if rules.mapping is None:
        return lambda line: [judge_line(line, rules, latest_us)]
    return MappedJudge(rules, rules.mapping, latest_us).judge


class MappedJudge:
    """Gives the verdicts of lines that are read by a mapping."""

    def __init__(self, rules: EventRules, mapping: EventMapping, latest_us: int) -> None:
        self._rules = rules
        self._mapping = mapping
        self._latest_us = latest_us
        self._event_name = (("event_type", mapping.event_name),)
        self._event_types = dict(mapping.event_types)
        of_item = {name for name, _ in mapping.item_fields}
        self._beside_items = tuple(field for field in mapping.fields if field[0] not in of_item)

    def judge(self, line: bytes) -> list[Verdict]:
        """Return a verdict for each event that a line names, all valid, or one of the line with its reasons.

        Args: line: the bytes between two newlines, not blank.
        """
        text = read_text(line, self._rules)
        if isinstance(text, Verdict):
            return [text]
        record = _csv_record(text, self._mapping) if self._mapping.columns else read_object(line, text)
        if isinstance(record, Verdict):
            return [record]
        return self._judge_record({name: _plain(value) for name, value in record.items()}, len(line))

    def _judge_record(self, record: Record, size: int) -> list[Verdict]:
        mapping = self._mapping
        event, taken = read_fields(self._event_name, record, mapping.nothing)
        name = event["event_type"]
        if is_text(name) and name:
            if name not in self._event_types:
                return [Verdict("event_type_unmapped")]
            event["event_type"] = self._event_types[name]
            if event["event_type"] is None:
                return [Verdict("event_type_ignored")]
        items = find(record, mapping.items) if event["event_type"] in mapping.item_events else None
        has_items = items is not None and items != []
        fields = self._beside_items if has_items else mapping.fields
        values, more = read_fields(fields, record, mapping.nothing)
        event |= values
        taken |= more
        if not has_items:
            return [self._judge_event(event, without(record, taken))]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return [Verdict("items_wrong_type")]
        rest = without(record, taken | {mapping.items})
        shared = len(to_json(rest)) + sum(len(value) for value in event.values() if is_text(value))
        if shared * len(items) > MAX_GROWTH * size:
            return [Verdict("items_too_many")]
        return self._judge_items(event, items, rest)

    def _judge_items(self, shared: Record, items: Sequence[Record], rest: Record) -> list[Verdict]:
        verdicts = []
        rests = []
        for item in items:
            values, taken = read_fields(self._mapping.item_fields, item, self._mapping.nothing)
            verdicts.append(self._judge_event(shared | values))
            rests.append(without(item, taken))
        bad = [verdict.problem.split(", ") for verdict in verdicts if verdict.problem]
        if bad:
            found = dict.fromkeys(reason for reasons in bad for reason in reasons)
            if len(found) > 1:
                found.pop(PAST_RETENTION, None)  # an expected reason stands alone
            return [Verdict(", ".join(found))]
        products = _products(verdicts, rests)
        if any((values[_QUANTITY] or 0) > MAX_QUANTITY for values, _ in products):
            return [Verdict("quantity_out_of_range")]
        return [
            _with_rest(Verdict(None, values), _placed(rest, self._mapping.items, left))
            for values, left in products
        ]

    def _judge_event(self, event: Record, rest: Record | None = None) -> Verdict:
        verdict = judge_event(event, self._rules, self._latest_us)
        return verdict if verdict.problem or not rest else _with_rest(verdict, rest)


def _csv_record(text: str, mapping: EventMapping) -> Record | Verdict:
    fields = csv_fields(text, mapping.delimiter)
    if fields is None:
        return Verdict("csv_invalid")
    if tuple(fields) == mapping.columns:  # in any place: files may have been laid end to end
        return Verdict("csv_header")
    if len(fields) != len(mapping.columns):
        return Verdict("csv_columns")
    return {name: value or None for name, value in zip(mapping.columns, fields, strict=True)}


def _plain(value: Any) -> Any:
    """A JSON value with objects as dicts."""
    if isinstance(value, Pairs):
        return {name: _plain(item) for name, item in value}
    return list(map(_plain, value)) if isinstance(value, list) else value


def _products(
    verdicts: Iterable[Verdict], rests: Iterable[Record]
) -> list[tuple[tuple[Any, ...], list[Record]]]:
    """The events of a line with what is left of their items.

    Items that differ in quantity alone, or in nothing, are one event with all their pieces: as two they would
    be taken for one that was delivered twice, and the money of one would be lost.
    """
    found: dict[tuple[Any, ...], tuple[list[int], list[Record]]] = {}
    for verdict, rest in zip(verdicts, rests, strict=True):
        values = verdict.values or ()
        quantity = values[_QUANTITY]
        quantities, left = found.setdefault(
            (*values[:_QUANTITY], quantity is None, *values[_QUANTITY + 1 :]), ([], [])
        )
        quantities += [] if quantity is None else [quantity]
        left += [rest] if rest else []
    return [
        ((*key[:_QUANTITY], sum(quantities) if quantities else None, *key[_QUANTITY + 1 :]), left)
        for key, (quantities, left) in found.items()
    ]


def _placed(rest: Record, path: JsonPath, items: list[Record]) -> Record:
    """What is left of a line, with what is left of an event's items where the items were."""
    name, *below = path
    if not items:
        return rest
    return {**rest, str(name): _placed(rest.get(str(name), {}), tuple(below), items) if below else items}


def _with_rest(verdict: Verdict, rest: Record) -> Verdict:
    return replace(verdict, extra=to_json(rest), unknown=tuple(rest)) if rest else verdict
