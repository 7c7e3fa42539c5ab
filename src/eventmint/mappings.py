"""Mappings: how the lines of another format say what the contract asks for, declared in TOML.

Declared data and no code: names, paths, units of time, constants. The formats that come with eventmint are
files in `sources/formats/`, read like a shop's own (docs/formats.md says what may stand in one).
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from eventmint.errors import FixSettings
from eventmint.values import EVENT_FIELDS, EventMapping, Fields, FieldSource, JsonPath

EVENTS = "events"
_HINT = "docs/formats.md says what may stand in a mapping."
_KEYS = ("base", "columns", "delimiter", "nothing", "fields", "event_types", "items")
_TABLES = {"fields", "event_types", "items"}
_SOURCE_KEYS = ("from", "joined_by", "as", "default")
_ITEM_KEYS = ("from", "event_types", "fields")
_TIMES = ("sql", "s", "ms", "us")
_KINDS = ("as_is", "text", "number")
# A name, plain or in quotes, with what picks from arrays behind it, as in `params[key=page].value` or `a[0]`.
_STEP = re.compile(r'(?:"([^"]+)"|([^."\[\]]+))((?:\[[^\[\]]+\])*)(\.(?=.)|\Z)')
_PICK = re.compile(r"\[(?:(\d{1,6})|([^\[\]=]+)=([^\[\]]+))\]")
Tree = Mapping[str, Any]


def read_mapping(name: str, home: Path, event_types: Collection[str]) -> EventMapping | None:
    """Return the mapping of a format; None for `events`, lines as the contract writes them.

    Args:
        name: a format that comes with eventmint, or the path of a TOML file, relative to `home`.
        event_types: the names that an event may have.
    Raises: FixSettings: there is no such format or file, or something in it is wrong.
    """
    if name == EVENTS:
        return None
    tree = _tree(name, home)
    if "base" in tree:
        tree = _over(_tree(_text(tree, "base"), home, only_shipped=True), tree)
    return _mapping(tree, event_types)


def shipped_formats() -> tuple[str, ...]:
    """The names of the formats that come with eventmint."""
    return tuple(sorted(file.name.removesuffix(".toml") for file in _folder().iterdir()))


def _folder() -> Any:
    return files("eventmint.sources").joinpath("formats")


def _tree(name: str, home: Path, *, only_shipped: bool = False) -> Tree:
    shipped = shipped_formats()
    if name in shipped:
        text = _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif only_shipped or not name.endswith(".toml"):
        near = difflib.get_close_matches(name, (EVENTS, *shipped), n=1, cutoff=0.5)
        hint = f"Did you mean `{near[0]}`?" if near else "The path of a mapping ends with .toml."
        known = ", ".join(shipped if only_shipped else (EVENTS, *shipped))
        raise FixSettings(f"`{name}` is no format; there are {known}.", hint)
    else:
        try:
            text = (home / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise FixSettings(f"{name} cannot be read: {err}.", "Name a mapping in TOML.") from err
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as err:
        raise FixSettings(f"{name} cannot be read: {err}.", _HINT) from err


def _over(base: Tree, own: Tree) -> dict[str, Any]:
    """The base with what the own declaration says instead: in its tables key by key, else as a whole."""
    merged = {**base, **own}
    for key in _TABLES & base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            merged[key] = _over(base[key], own[key])
    return merged


def _mapping(tree: Tree, event_types: Collection[str]) -> EventMapping:
    _only(tree, _KEYS, "")
    columns = tuple(_texts(tree, "columns"))
    delimiter = _text(tree, "delimiter", ",")
    _need(len(delimiter) == 1 and delimiter not in '"\r\n', "delimiter", "one character, no quote")
    _need(len({*columns}) == len(columns), "columns", "names that differ")
    names = _event_types(_table(tree, "event_types"), event_types)
    _need(bool(names), "event_types", "a table with the format's names of events")
    fields = dict(_fields(_table(tree, "fields"), "fields", columns))
    for name in ("timestamp", "event_type"):  # without them no line at all could be an event
        _need(name in fields, f"fields.{name}", "where a line says it")
    items = _table(tree, "items")
    _only(items, _ITEM_KEYS, "items.")
    ours = {name for name in dict(names).values() if name}
    item_events = frozenset(_texts(items, "event_types", "items.") if "event_types" in items else ours)
    _need(item_events <= ours, "items.event_types", f"some of {', '.join(sorted(ours))}")
    path = _path(_text(items, "from", prefix="items."), "items.from", ()) if "items" in tree else ()
    _need(all(isinstance(step, str) for step in path), "items.from", "a path of names")
    _need(not (path and columns), "items", "left out: a record of CSV has no array")
    return EventMapping(
        columns=columns,
        delimiter=delimiter,
        nothing=frozenset(_texts(tree, "nothing")),
        event_name=fields.pop("event_type"),
        event_types=names,
        fields=tuple(fields.items()),
        items=path,
        item_events=item_events if items else frozenset(),
        item_fields=_fields(_table(items, "fields", "items."), "items.fields", (), but=("event_type",)),
        declared=json.dumps({key: tree[key] for key in _KEYS[1:] if key in tree}, default=str),
    )


def _event_types(table: Tree, known: Collection[str]) -> tuple[tuple[str, str | None], ...]:
    for name, ours in table.items():
        _need(
            ours is False or (isinstance(ours, str) and ours in known),
            f'event_types."{name}"',
            f"one of {', '.join(known)} (contract.event_types), or false for no event of the funnel",
        )
    return tuple((name, ours or None) for name, ours in table.items())


def _fields(table: Tree, where: str, columns: Collection[str], but: Collection[str] = ()) -> Fields:
    _only(table, [name for name in EVENT_FIELDS if name not in but], f"{where}.")
    return tuple((name, _source(name, said, f"{where}.{name}", columns)) for name, said in table.items())


def _source(name: str, said: Any, where: str, columns: Collection[str]) -> FieldSource:
    if not isinstance(said, dict):
        said = {"from": said}
    _only(said, _SOURCE_KEYS, f"{where}.")
    kind = _text(said, "as", "as_is", prefix=f"{where}.")
    kinds = _KINDS + _TIMES if name == "timestamp" else _KINDS
    _need(kind in kinds, f"{where}.as", f"one of {', '.join(kinds)}")
    default = said.get("default")
    _need(
        default is None or (isinstance(default, str | int | Decimal) and not isinstance(default, bool)),
        f"{where}.default",
        "a text or a number",
    )
    paths = tuple(_path(text, where, columns) for text in _texts(said, "from", f"{where}."))
    _need(bool(paths) or default is not None, where, "a path, a list of paths, or a default")
    joined_by = _text(said, "joined_by", prefix=f"{where}.") if "joined_by" in said else None
    return FieldSource(paths, joined_by, kind, default)


def _path(text: str, where: str, columns: Collection[str]) -> JsonPath:
    if columns:
        _need(text in columns, where, f"one of the columns, not `{text}`")
        return (text,)
    steps: list[str | int | tuple[str, str]] = []
    at = 0
    while match := _STEP.match(text, at):
        quoted, plain, picks, more = match.groups()
        steps.append(quoted or plain)
        found = list(_PICK.finditer(picks))
        steps += [int(pick[1]) if pick[1] else (pick[2], pick[3]) for pick in found]
        at = match.end()
        if sum(len(pick[0]) for pick in found) != len(picks):
            break
        if not more:
            return tuple(steps)
    raise FixSettings(f"`{where}`: `{text}` is no path, such as a.b, a[0].b or a[key=name].b.", _HINT)


def _only(table: Tree, known: Iterable[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"Did you mean `{prefix}{near[0]}`?" if near else f"Known keys: {', '.join(known)}."
            raise FixSettings(f"unknown key `{prefix}{key}`.", hint)


def _table(tree: Tree, key: str, prefix: str = "") -> Tree:
    table = tree.get(key, {})
    _need(isinstance(table, dict), f"{prefix}{key}", "a table")
    return dict(table)


def _text(tree: Tree, key: str, default: str | None = None, prefix: str = "") -> str:
    value = tree.get(key, default)
    _need(isinstance(value, str) and bool(value), f"{prefix}{key}", "a text")
    return str(value)


def _texts(tree: Tree, key: str, prefix: str = "") -> list[str]:
    value = tree.get(key, [])
    texts = [value] if isinstance(value, str) else value
    _need(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts),
        f"{prefix}{key}",
        "a text or a list of texts",
    )
    return list(texts)


def _need(claim: bool, where: str, expected: str) -> None:
    if not claim:
        raise FixSettings(f"`{where}` must be {expected}.", _HINT)
