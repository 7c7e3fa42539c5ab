"""The catalog: every question that the API and the page ask."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from eventmint.config import Settings
from eventmint.contracts import ANSWERS, Column, contract
from eventmint.errors import FixSettings
from eventmint.serve import answers, journeys
from eventmint.serve.dashboard.openapi import FORMATS, schema_of
from eventmint.serve.dashboard.questions import (
    API,
    Asking,
    Document,
    Question,
    Values,
    choice,
    day,
    number,
    text,
)
from eventmint.serve.pages import cards, journey_cards
from eventmint.serve.pages.days import Days, known_days, presets
from eventmint.serve.pages.overview import NOTHING_THEN, categories, default_period, overview
from eventmint.serve.pages.report import NOTHING_YET
from eventmint.serve.pages.trust import freshness, published_trust

VIEW = "/page/view"
JSON_ROWS = 1_000
_MOST_ROWS = 1_000_000_000
MOST_PRODUCTS = 1_000

_HAS_SILVER = "SELECT 1 FROM duckdb_views() WHERE schema_name = 'silver' AND view_name = 'events_cleaned'"

_FROM = day("from", "First day, UTC.")
_TO = day("to", "The day after the last, UTC.")
_CATEGORY = text("category", "Only of this category.")
_FORMAT = choice("format", "How the rows are sent.", [*FORMATS], "json")
_BY_PERIOD = choice("by", "Length of a period.", journeys.PERIODS, "week")


def questions_of_api(settings: Settings) -> list[Question]:
    """Return the questions whose addresses and answers stay as they are."""
    rows = number(
        "limit", f"Rows at most, 0 for all. Default: {JSON_ROWS:,} as JSON, all as a file.", _MOST_ROWS
    )
    products = (_FROM, _TO, _CATEGORY, *_of_products(settings.report.products))
    return [
        *(_of_answer(name, (_FORMAT, rows)) for name in ANSWERS),
        Question(
            f"{API}/products",
            "Products of some days, searched and sorted.",
            products,
            _products,
            shape=_PRODUCTS,
        ),
        Question(
            f"{API}/funnel",
            "How many journeys reach each step, one after the other.",
            (*_of_funnel(settings), _FORMAT, rows),
            lambda asking, values: _funnel(asking, values)[1],
            schema_of(_FUNNEL_COLUMNS, journeys.BY),
        ),
        Question(
            f"{API}/retention",
            "How many users of each period come again.",
            (_BY_PERIOD, _FORMAT, rows),
            lambda asking, values: journeys.retention(asking.ask, values["by"]),
            schema_of(_RETENTION_COLUMNS),
        ),
        Question(
            f"{API}/trust",
            "What became of every line.",
            (),
            lambda asking, _: published_trust(asking.ask),
            shape=_TRUST,
        ),
    ]


def questions_of_page(settings: Settings) -> list[Question]:
    """Return what our own page asks, drawn; it changes with the page."""
    return [
        Question(VIEW, "", (_FROM, _TO, _CATEGORY), _view),
        Question("/page/funnel", "", _of_funnel(settings), _funnel_card),
        Question("/page/retention", "", (_BY_PERIOD,), _retention_card),
    ]


def start(asking: Asking) -> Document:
    """Return what a page knows before anything is chosen: the days and categories there are."""
    settings = asking.settings
    found: Document = {
        "event_types": settings.contract.event_types,
        "steps": _first_steps(settings),
        # Without rows of silver, as of a lake in S3, nobody can follow journeys here.
        "has_journeys": bool(asking.ask(_HAS_SILVER, []).num_rows),
    }
    known = known_days(asking.ask)
    if known is None:
        return {**found, "empty": NOTHING_YET, "periods": [], "categories": []}
    offered = presets(known)
    return {
        **found,
        "period": default_period(offered),
        "periods": [
            {"name": name, "label": days.label, "from": days.start, "to": days.end}
            for name, days in offered.items()
        ],
        "categories": categories(asking.ask),
    }


def first_view(start: Document) -> list[tuple[str, str]]:
    """Return what a page asks of `VIEW` before anything is chosen."""
    shown = [period for period in start["periods"] if period["name"] == start["period"]]
    return [(name, str(period[name])) for period in shown for name in ("from", "to")]


def fresh(asking: Asking) -> Document | None:
    newest = published_trust(asking.ask)["newest_event"]
    return freshness(newest, asking.now, asking.settings.report.late_after)


# ---- answers -----------------------------------------------------------------------------------------------


def _of_answer(name: str, common: tuple[Any, ...]) -> Question:
    shape = contract(f"gold.{name}")
    of_category = (_CATEGORY,) if "category" in shape.column_names else ()
    parameters = (_FROM, _TO, *of_category, *common)
    return Question(
        f"{API}/answers/{name}",
        f"{shape.grain}.",
        parameters,
        partial(_answer, name),
        schema_of(shape.columns),
    )


def _answer(name: str, asking: Asking, values: Values) -> pa.Table:
    limit = rows_wanted(values)
    _require_order(values)
    return answers.answer_rows(
        asking.ask, name, values["from"], values["to"], values.get("category"), limit + 1 if limit else None
    )


def rows_wanted(values: Values) -> int:
    """Return how many rows a table may have; 0 for all."""
    limit = values["limit"]
    if limit is None:
        return JSON_ROWS if values["format"] == "json" else 0
    return int(limit)


# ---- days --------------------------------------------------------------------------------------------------


def _view(asking: Asking, values: Values) -> Document:
    known = known_days(asking.ask)
    if known is None:
        return {"empty": NOTHING_YET}
    found = published_trust(asking.ask)
    days = _asked_days(known, values)
    drawn = days and days.within(known)
    if drawn is None:
        return {"period": days.text if days else "", "empty": NOTHING_THEN, "trust": found}
    view = overview(
        asking.ask,
        drawn,
        known,
        found["newest_event"],
        category=values["category"],
        products=None,
    )
    return {**view, "trust": found}


def _asked_days(known: Days, values: Values) -> Days | None:
    """The days that are asked for; what is left open goes as far as there are any. None for no day."""
    _require_order(values)
    start, end = values["from"] or known.start, values["to"] or known.end
    return Days(start, end) if start < end else None


def _require_order(values: Values) -> None:
    start, end = values["from"], values["to"]
    if start and end and start >= end:
        raise FixSettings("from: is not before to.", "`to` is the day after the last.")


# ---- products ----------------------------------------------------------------------------------------------


def _of_products(default: int) -> tuple[Any, ...]:
    return (
        text("search", "Part of a name or of a category, in any case.", ""),
        choice("sort", "By which column.", [*cards.SORTS], "purchases"),
        choice("order", "Which way.", ("desc", "asc"), "desc"),
        number("limit", "Products at most.", MOST_PRODUCTS, min(default, MOST_PRODUCTS), least=1),
    )


def _products(asking: Asking, values: Values) -> Document:
    known = known_days(asking.ask)
    days = known and _asked_days(known, values)
    if days is None:
        return {"total": 0, "found": 0, "listed": 0, "columns": cards.PRODUCT_COLUMNS, "rows": []}
    wanted = cards.Wanted(values["limit"], values["search"], values["sort"], values["order"] == "desc")
    found = cards.product_table(asking.ask, days, values["category"], wanted)
    return {**found, "columns": cards.PRODUCT_COLUMNS}


# ---- journeys ----------------------------------------------------------------------------------------------


def _of_funnel(settings: Settings) -> tuple[Any, ...]:
    known, default = settings.contract.event_types, ",".join(_first_steps(settings))
    return (
        _FROM,
        _TO,
        text("steps", f"Event types in their order, each once, with commas: of {', '.join(known)}.", default),
        text("window", "How long a journey may go on: 90s, 30m, 2h, 7d.", "30m"),
        choice("per", "Whose journeys.", [*journeys.WHO], "session"),
        choice("by", "All steps of the same one.", [*journeys.BY]),
    )


def _first_steps(settings: Settings) -> list[str]:
    """The steps of a shop's ordinary funnel; of a contract with other words, its first two."""
    known = settings.contract.event_types
    found: list[str] = [name for name in ("page_view", "add_to_cart", "purchase") if name in known]
    return found if len(found) > 1 else [*known[:2]]


def _funnel(asking: Asking, values: Values) -> tuple[journeys.Funnel, pa.Table]:
    _require_order(values)
    asked = journeys.Funnel(
        tuple(step.strip() for step in values["steps"].split(",")),
        journeys.window_of(values["window"]),
        values["per"],
        values["by"],
        values["from"],
        values["to"],
    )
    return asked, journeys.funnel(asking.ask, asked, asking.settings.contract.event_types)


def _funnel_card(asking: Asking, values: Values) -> Document:
    asked, rows = _funnel(asking, values)
    known = known_days(asking.ask)
    days = known and _asked_days(known, values)
    return journey_cards.funnel(rows, asked, values["window"], days)


def _retention_card(asking: Asking, values: Values) -> Document:
    return journey_cards.retention(journeys.retention(asking.ask, values["by"]), values["by"])


def _column(name: str, kind: str, doc: str, *, required: bool = True) -> Column:
    return Column(name, 0, kind, required, doc)


_FUNNEL_COLUMNS = [
    _column("product", "string", "With by=product: the product of all steps.", required=False),
    _column("category", "string", "With by=category: the category of all steps.", required=False),
    _column("step", "int", "1, 2, ..."),
    _column("event_type", "string", "What happens in this step."),
    _column("journeys", "long", "How many get so far."),
    _column("of_first", "double", "Their share of those that begin.", required=False),
    _column("of_previous", "double", "Their share of those of the step before.", required=False),
    _column("open", "long", "Got no further, but still may."),
]
_RETENTION_COLUMNS = [
    _column("cohort", "date", "First day of the users' first period."),
    _column("users", "long", "Users of that period."),
    _column("period", "date", "First day of a later period."),
    _column("number", "long", "How many periods later; 0 for the first itself."),
    _column("returned", "long", "How many of the users were there again."),
    _column("share", "double", "Their share."),
    _column("is_over", "boolean", "Whether the later period is over."),
]


_COUNT = {"type": "integer", "minimum": 0}


def _object(**properties: Any) -> Document:
    return {"type": "object", "required": [*properties], "properties": properties}


def _list_of(item: Document) -> Document:
    return {"type": "array", "items": item}


_PRODUCTS = _object(
    total={**_COUNT, "description": "Products of these days and this category."},
    found={**_COUNT, "description": "Of them, those that the search found."},
    listed={**_COUNT, "description": "Rows of this answer."},
    columns=_list_of({"enum": [*cards.PRODUCT_COLUMNS]}),
    rows=_list_of(
        {
            "type": "array",
            "prefixItems": [{"type": "string"}] * 2 + [_COUNT] * 3 + [{"type": "string"}],
            "minItems": len(cards.PRODUCT_COLUMNS),
            "items": False,
        }
    ),
)
_TRUST = _object(
    steps=_list_of(_object(label={"type": "string"}, count={"type": "integer"})),
    missing={"type": "integer", "description": "Lines that are nowhere: 0 where the books balance."},
    accounted={"type": "boolean", "description": "Whether every law held at the last run."},
    laws=_COUNT,
    reasons=_list_of(_object(reason={"type": "string"}, lines=_COUNT)),
    files=_COUNT,
    unreadable_files=_COUNT,
    newest_event={"type": ["string", "null"], "format": "date-time"},
)
