"""Mappings: what may be declared, how a shop's own builds on one of ours, and what is refused in one line."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import REPOSITORY

from eventmint.config import MEANINGS, Settings, load_settings
from eventmint.errors import FixSettings
from eventmint.mappings import read_mapping, shipped_formats
from eventmint.values import EVENT_TYPES, EventMapping, FieldSource

OWN = """
[fields]
timestamp = "at"
event_type = "kind"
[event_types]
look = "page_view"
"""


def read(text: str, folder: Path) -> EventMapping:
    (folder / "own.toml").write_text(text, encoding="utf-8")
    mapping = read_mapping("own.toml", folder, EVENT_TYPES)
    assert mapping is not None
    return mapping


def sources(mapping: EventMapping) -> dict[str, FieldSource]:
    return {**dict(mapping.fields), "event_type": mapping.event_name}


def test_events_need_no_mapping(tmp_path: Path) -> None:
    assert read_mapping("events", tmp_path, EVENT_TYPES) is None
    assert Settings().rules.mapping is None


@pytest.mark.parametrize("name", ["ga4", "rees46-csv", "segment", "snowplow"])
def test_a_format_that_comes_with_eventmint_reaches_the_rules_and_any_worker(
    name: str, tmp_path: Path
) -> None:
    rules = load_settings(home=tmp_path, flags={"source.format": name}).rules
    assert rules.mapping is not None
    assert pickle.loads(pickle.dumps(rules)) == rules  # noqa: S301 - our own
    assert {ours for _, ours in rules.mapping.event_types} - {None} <= {*EVENT_TYPES}
    assert name in shipped_formats()


def test_a_file_says_paths_lists_units_joins_and_defaults(tmp_path: Path) -> None:
    mapping = read(
        """
nothing = ["-"]
[fields]
timestamp = { from = "a.at", as = "ms" }
event_type = ["kind", '"odd.name".x']
user_id = { from = ["u", "list[0].id", "params[key=page title].value.text"], joined_by = "/" }
quantity = { default = 1 }
price = { from = "price", as = "number", default = 0.10 }
[event_types]
look = "page_view"
"some thing" = false
[items]
from = "cart.lines"
[items.fields]
product_id = "id"
""",
        tmp_path,
    )
    assert sources(mapping) == {
        "timestamp": FieldSource((("a", "at"),), kind="ms"),
        "event_type": FieldSource((("kind",), ("odd.name", "x"))),
        "user_id": FieldSource(
            (("u",), ("list", 0, "id"), ("params", ("key", "page title"), "value", "text")), joined_by="/"
        ),
        "quantity": FieldSource(default=1),
        "price": FieldSource((("price",),), kind="number", default=Decimal("0.10")),
    }
    assert mapping.event_types == (("look", "page_view"), ("some thing", None))
    assert (mapping.items, mapping.item_events) == (("cart", "lines"), frozenset({"page_view"}))
    assert mapping.item_fields == (("product_id", FieldSource((("id",),))),)
    assert mapping.nothing == {"-"}


def test_a_shops_own_mapping_says_only_what_differs_from_one_of_ours(tmp_path: Path) -> None:
    own = read(
        """
base = "segment"
[fields]
session_id = "properties.visit"
[items.fields]
price = "net_price"
[event_types]
"Size Guide Opened" = false
"Order Completed" = false
"Order Paid" = "purchase"
""",
        tmp_path,
    )
    segment = read_mapping("segment", tmp_path, EVENT_TYPES)
    assert segment is not None
    visit, price = FieldSource((("properties", "visit"),)), FieldSource((("net_price",),))
    assert sources(own) == {**sources(segment), "session_id": visit}
    assert dict(own.item_fields) == {**dict(segment.item_fields), "price": price}
    assert dict(own.event_types) == {
        **dict(segment.event_types),
        "Size Guide Opened": None,
        "Order Completed": None,
        "Order Paid": "purchase",
    }
    assert (own.items, own.item_events) == (segment.items, frozenset({"purchase"}))


def test_the_declaration_is_kept_as_the_contract_shows_it(tmp_path: Path) -> None:
    declared = json.loads(read(OWN, tmp_path).declared)
    assert declared == {
        "fields": {"timestamp": "at", "event_type": "kind"},
        "event_types": {"look": "page_view"},
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[fields]", "[field]"), "unknown key `field`. Did you mean `fields`?"),
        (('timestamp = "at"', 'time_stamp = "at"'), "unknown key `fields.time_stamp`. Did you mean"),
        (('timestamp = "at"', ""), "`fields.timestamp` must be where a line says it"),
        (('event_type = "kind"', ""), "`fields.event_type` must be where a line says it"),
        (('"kind"', "7"), "`fields.event_type.from` must be a text or a list of texts"),
        (('"kind"', '""'), "`fields.event_type`: `` is no path"),
        (('"kind"', '"a..b"'), "`fields.event_type`: `a..b` is no path"),
        (('"kind"', '"a."'), "`fields.event_type`: `a.` is no path"),
        (('"kind"', '"a[x].b"'), "`fields.event_type`: `a[x].b` is no path"),
        (('"kind"', '"a[0"'), "`fields.event_type`: `a[0` is no path"),
        (('"kind"', "{ as = 'text' }"), "`fields.event_type` must be a path, a list of paths, or a default"),
        (('"at"', "{ from = 'at', as = 'minutes' }"), "`fields.timestamp.as` must be one of as_is, text,"),
        (('"kind"', "{ from = 'kind', as = 'ms' }"), "`fields.event_type.as` must be one of as_is, text"),
        (('"kind"', "{ from = 'kind', default = true }"), "`fields.event_type.default` must be a text or"),
        (('"kind"', "{ form = 'kind' }"), "unknown key `fields.event_type.form`. Did you mean"),
        (('"page_view"', '"pageview"'), '`event_types."look"` must be one of page_view, add_to_cart'),
        (('"page_view"', "true"), '`event_types."look"` must be one of'),
        (('look = "page_view"', ""), "`event_types` must be a table with the format's names"),
        (('look = "page_view"', 'look = "page_view"\n[items]'), "`items.from` must be a text"),
        (('look = "page_view"', 'look = "page_view"\n[items]\nfrom = "a[0]"'), "`items.from` must be a path"),
        (
            ('look = "page_view"', 'look = "page_view"\n[items]\nfrom = "a"\nevent_types = ["purchase"]'),
            "`items.event_types` must be some of page_view",
        ),
        (
            ('look = "page_view"', 'look = "page_view"\n[items]\nfrom = "a"\nfields.event_type = "b"'),
            "unknown key `items.fields.event_type`",
        ),
        (
            ("[fields]", 'columns = ["at", "what"]\n[fields]'),
            "`fields.event_type` must be one of the columns",
        ),
        (("[fields]", 'columns = ["at", "at"]\n[fields]'), "`columns` must be names that differ"),
        (
            ('look = "page_view"', 'look = "page_view"\n[items]\nfrom = "at"\n[x]'),
            "unknown key `x`",
        ),
        (
            (OWN, 'columns = ["at", "kind"]' + OWN + '[items]\nfrom = "at"'),
            "`items` must be left out: a record of CSV has no array",
        ),
        (("[fields]", 'delimiter = ";;"\n[fields]'), "`delimiter` must be one character"),
        (("[fields]", "nothing = [1]\n[fields]"), "`nothing` must be a text or a list of texts"),
        (("[fields]", 'base = "segmnt"\n[fields]'), "`segmnt` is no format; there are ga4, rees46-csv,"),
        (("[fields]", 'base = "own.toml"\n[fields]'), "`own.toml` is no format"),
        (("[fields]", "[fields"), "own.toml cannot be read"),
    ],
)
def test_a_mistake_in_a_mapping_is_refused_with_its_place(
    change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    assert change[0] in OWN
    with pytest.raises(FixSettings) as error:
        read(OWN.replace(*change), tmp_path)
    assert said in str(error.value)
    assert "\n" not in error.value.message.split("cannot be read")[0]


def test_the_origin_of_a_wrong_format_is_named_and_the_nearest_told(tmp_path: Path) -> None:
    (tmp_path / "eventmint.toml").write_text('[source]\nformat = "segmnt"\n', encoding="utf-8")
    with pytest.raises(FixSettings) as error:
        load_settings(home=tmp_path)
    assert error.value.message.startswith(
        f"{tmp_path / 'eventmint.toml'}: `source.format`: `segmnt` is no format"
    )
    assert error.value.hint == "Did you mean `segment`?"


@pytest.mark.parametrize("first", ['base = "segment"', "columns = ["])
def test_the_mappings_of_the_documentation_are_read(first: str, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")
    block = page[page.index(f"```toml\n{first}") :]
    read(block.removeprefix("```toml").partition("```")[0], tmp_path)


def test_the_documentation_and_the_configuration_name_every_format() -> None:
    page = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")
    for name in ("events", *shipped_formats()):
        assert f"| `{name}` |" in page
        assert name in MEANINGS["source.format"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixSettings, match="own.toml cannot be read"):
        read_mapping("own.toml", tmp_path, EVENT_TYPES)


def test_an_event_type_of_the_configuration_may_be_a_target(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN.replace("page_view", "wishlist"), encoding="utf-8")
    flags = {"source.format": "own.toml", "contract.event_types": ["wishlist"]}
    mapping = load_settings(home=tmp_path, flags=flags).mapping
    assert mapping is not None
    assert mapping.event_types == (("look", "wishlist"),)
