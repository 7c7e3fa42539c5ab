"""The report: one HTML file that opens from a disk, out of an e-mail or from S3, and asks no network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from datetime import datetime
from functools import cache
from importlib import metadata, resources
from typing import Any

from eventmint.errors import FixSettings
from eventmint.serve import charts
from eventmint.serve.formats import jsonable
from eventmint.serve.pages.days import Ask, known_days, presets
from eventmint.serve.pages.overview import Document, categories, overview

# Single categories that can be chosen, those with most revenue, and how many products each lists.
CATEGORIES = 12
_OF_CATEGORY = 100


def report(ask: Ask, trust: Document, title: str, now: datetime, products: int) -> str:
    """Return the page with every period that it offers, for all categories and for the largest.

    Args:
        trust: what `trust.trust` returns.
        products: rows of the table of products at most.
    """
    return page(title, now, given(ask, trust, products))


def given(ask: Ask, trust: Document, products: int) -> Document:
    """Return what the page's script is given: all its views."""
    known = known_days(ask)
    common = {"dark": charts.DARK, "config": charts.CONFIG, "trust": trust, "fresh": _freshness(trust)}
    if known is None:
        return {
            **common,
            "empty": "There are no events yet. Put files into the source folder, then: eventmint run",
        }
    periods, names = presets(known), categories(ask)[:CATEGORIES]
    newest = trust["newest_event"]
    views = {
        f"{period}|{name}": overview(
            ask,
            days,
            known,
            newest,
            category=name or None,
            products=min(products, _OF_CATEGORY) if name else products,
        )
        for period, days in periods.items()
        for name in ("", *names)
    }
    return {
        **common,
        "period": "30" if "30" in periods else "all",
        "periods": [{"name": name, "label": days.label} for name, days in periods.items()],
        "categories": names,
        "views": views,
    }


def page(title: str, now: datetime, given: Document) -> str:
    """Return the HTML file. Scripts run by their hashes only, and nothing is fetched, so nothing can leak.

    What is large is packed: the page's script unpacks the figures, and Plotly, whose hash is allowed as well.
    """
    from markupsafe import Markup

    script, plotly = _own("page.js"), _plotly()
    policy = (
        f"default-src 'none'; script-src {_hash(script)} {_hash(plotly)}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    made: str = _template().render(
        title=title,
        csp=policy,
        made_at=f"{now:%-d %b %Y %H:%M} UTC",
        version=metadata.version("eventmint"),
        styles=Markup(f"<style>{_own('page.css')}</style>"),  # noqa: S704 - our own file
        given=_packed(json.dumps(given, default=jsonable, separators=(",", ":"))),
        plotly=_packed(plotly),
        scripts=Markup(f"<script>{script}</script>"),  # noqa: S704 - our own file
    )
    return made


def _packed(text: str) -> str:
    """Return a text as gzip in Base64: small, and nothing in it can end the element that it stands in."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _freshness(trust: Document) -> Document | None:
    newest = trust["newest_event"]
    return newest and {"text": f"events until {newest:%-d %b %Y %H:%M} UTC"}


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    charts.require_plotly()
    return resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")


@cache
def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as err:
        raise FixSettings(
            "jinja2 is not installed, and pages need it.", "Install it with `pip install 'eventmint[pages]'`."
        ) from err
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_own("page.html.j2"))
