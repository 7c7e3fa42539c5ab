"""Questions: what can be asked over HTTP and with which parameters. Routes and OpenAPI are made from them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from eventmint.config import Settings
from eventmint.errors import FixSettings
from eventmint.serve.pages.days import Ask

Document = dict[str, Any]
Values = Mapping[str, Any]
API = "/api/v1"


@dataclass(frozen=True)
class Asking:
    """Who answers: one state of the published tables, and the settings of their lake."""

    ask: Ask
    settings: Settings
    now: datetime


@dataclass(frozen=True)
class Parameter:
    """A part of a question. `read` makes its value of a text, or says why that is none (FixSettings)."""

    name: str
    doc: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]
    default: str | None = None


@dataclass(frozen=True)
class Question:
    """What an address answers.

    Attributes:
        answer: makes a document, or a table that is sent as JSON, CSV or Parquet.
        columns: the schema of a row as OpenAPI has it, where the answer is a table.
        shape: that of the document, where it is one.
    """

    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    answer: Callable[[Asking, Values], Document | pa.Table]
    columns: Mapping[str, Any] | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        return self.columns is not None


def read_values(question: Question, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return a value for each parameter; None where none was given and there is no default.

    Raises: FixSettings: an unknown or repeated parameter, or a value that is none.
    """
    known = {parameter.name: parameter for parameter in question.parameters}
    texts = {name: parameter.default for name, parameter in known.items()}
    seen = set()
    for name, text in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean `{near[0]}`?" if near else f"There are {', '.join(known) or 'none'}."
            raise FixSettings(f"{name}: no such parameter.", hint)
        if name in seen:
            raise FixSettings(f"{name}: is given twice.", "Give it once.")
        seen.add(name)
        texts[name] = text or texts[name]  # what is left empty is not asked
    return {name: None if text is None else known[name].read(text) for name, text in texts.items()}


# ---- parameters --------------------------------------------------------------------------------------------


def day(name: str, doc: str) -> Parameter:
    def read(text: str) -> date:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise FixSettings(f"{name}: {text!r} is no day.", "Write it as 2026-01-31.") from None

    return Parameter(name, doc, {"type": "string", "format": "date"}, read)


def choice(name: str, doc: str, values: Sequence[str], default: str | None = None) -> Parameter:
    def read(text: str) -> str:
        if text not in values:
            near = difflib.get_close_matches(text, values, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(values)}."
            raise FixSettings(f"{name}: {text!r} is not known.", hint)
        return text

    return Parameter(name, doc, {"type": "string", "enum": [*values]}, read, default)


def number(name: str, doc: str, most: int, default: int | None = None, least: int = 0) -> Parameter:
    def read(text: str) -> int:
        is_short = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        if not is_short or not least <= int(text) <= most:
            raise FixSettings(
                f"{name}: {text!r} is no whole number from {least} to {most}.", "Write digits only."
            )
        return int(text)

    return Parameter(
        name,
        doc,
        {"type": "integer", "minimum": least, "maximum": most},
        read,
        None if default is None else str(default),
    )


def text(name: str, doc: str, default: str | None = None) -> Parameter:
    return Parameter(name, doc, {"type": "string"}, str, default)
