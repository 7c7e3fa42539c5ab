"""The page of the Python API: `Lake` and whatever it takes or returns, from signatures and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType
from typing import Any

from docstrings import markdown, meanings, summary
from texts import code, table

import eventmint
from eventmint import errors
from eventmint.lake import Lake

INTRODUCTION = """\
# Python API

```python
import eventmint

lake = eventmint.open_lake("demo/eventmint.toml")
report = lake.run()
print(report.lake.events, report.laws_hold)
```

`eventmint.open_lake` and `eventmint.Lake` are public, with what their methods take and return, below;
whatever else can be imported may change in any version. Times are `datetime` in UTC, money is `Decimal`, rows
are Arrow tables. A script that takes in files starts worker processes, so it needs the usual
`if __name__ == "__main__":`.
"""
NAME = re.compile(r"(?:\w+\.)*[A-Z]\w+")
LINE = 80


def page() -> str:
    paragraphs = [INTRODUCTION, "## open_lake\n", *function("open_lake", eventmint.open_lake)]
    paragraphs += [f"## Lake\n\n{markdown(Lake)}\n"]
    for name, member in methods(Lake):
        paragraphs += [f"### Lake.{name}\n", *function(name, member)]
    paragraphs.append("## What goes in and comes out\n")
    for kind in kinds():
        paragraphs += [f"### {kind.__name__}\n", *value(kind)]
    rows = [
        (code(kind.__name__), code(kind.__base__.__name__), summary(kind))
        for kind in vars(errors).values()
        if inspect.isclass(kind)
    ]
    paragraphs.append("## Errors\n\nThey are in `eventmint.errors`; each has a `message` and a `hint`.\n")
    paragraphs.append(table(["error", "is a", "means"], rows))
    return "\n".join(filter(None, paragraphs))


def methods(kind: type) -> Iterator[tuple[str, FunctionType]]:
    for name, member in vars(kind).items():
        if isinstance(member, FunctionType) and not name.startswith("_"):
            yield name, member


def function(name: str, member: Callable[..., Any]) -> Iterator[str]:
    yield f"```text\n{name}{signature(member)}\n```\n"
    yield f"{markdown(member)}\n"
    if named := {kind.__name__ for kind in named_in(member) if kind is not Lake}:
        yield f"See {', '.join(f'[{kind}](#{kind.lower()})' for kind in sorted(named))}.\n"


class Written:
    """An annotation that shows as it is written, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(member: Callable[..., Any]) -> str:
    """Return a signature as a caller sees it; one that is too long for a line with an argument a line."""
    found = inspect.signature(member)
    arguments = [
        one.replace(annotation=Written(one.annotation))
        for one in found.parameters.values()
        if one.name != "self"
    ]
    result = str(found.return_annotation)
    if inspect.isgeneratorfunction(inspect.unwrap(member)):  # for `with`
        result = result.replace("Iterator[", "ContextManager[")
    whole = inspect.Signature(arguments, return_annotation=Written(result))
    text = str(whole).replace("datetime.timedelta", "timedelta")
    if len(text) < LINE:
        return text
    inside, _, after = text[1:].rpartition(") -> ")
    lines = re.split(r", (?=\w+: |\*)", inside)
    return "(\n" + "".join(f"    {line},\n" for line in lines) + f") -> {after}"


@cache
def kinds() -> list[type]:
    """Return the classes of ours that `Lake` takes and returns, and those that these hold, by name."""
    found: dict[str, type] = {}
    waiting: list[Any] = [member for _, member in methods(Lake)]
    while waiting:
        for kind in named_in(waiting.pop()):
            if kind.__name__ not in found and kind is not Lake:
                found[kind.__name__] = kind
                waiting.append(kind)
    return [found[name] for name in sorted(found)]


def named_in(item: Any) -> Iterator[type]:
    """Yield the classes of ours that the annotations of a function, or of a dataclass, name."""
    for text in inspect.unwrap(item).__annotations__.values():
        for name in NAME.findall(str(text)):
            kind: Any = sys.modules[item.__module__]
            for word in name.split("."):
                kind = getattr(kind, word, None)  # what is imported for types alone is not there
            if inspect.isclass(kind) and kind.__module__.startswith("eventmint."):
                yield kind


def value(kind: type) -> Iterator[str]:
    yield f"{markdown(kind)}\n"
    means = meanings(kind)
    if dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
        rows = [(code(one.name), code(one.type), means.get(one.name, "")) for one in fields]
        yield table(["field", "type", "means"], rows)
    yield table(["property or method", "type", "means"], further(kind))


def further(kind: type) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each property and method of a class."""
    for name, member in methods(kind):
        yield code(name), code(" ".join(signature(member).split())), summary(member)
    for name, member in vars(kind).items():
        if isinstance(member, property) and not name.startswith("_"):
            yield code(name), code(member.fget.__annotations__["return"]), summary(member.fget)
