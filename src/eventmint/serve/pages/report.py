"""The report: one HTML file that opens from a disk, out of an e-mail or from S3, and asks no network."""

from __future__ import annotations

from datetime import datetime, timedelta

from eventmint.serve import charts, theme
from eventmint.serve.pages import html
from eventmint.serve.pages.days import Ask, known_days, presets
from eventmint.serve.pages.overview import Document, categories, default_period, overview
from eventmint.serve.pages.trust import freshness, published_trust

NOTHING_YET = "There are no events yet. Put files into the source folder, then: eventmint run"
# Single categories that can be chosen, those with most revenue, and how many products each lists.
CATEGORIES = 12
_OF_CATEGORY = 100


def report(ask: Ask, title: str, now: datetime, products: int, late_after: timedelta | None = None) -> str:
    """Return the page with every period that it offers, for all categories and for the largest.

    Args:
        products: rows of the table of products at most.
        late_after: older than this, the newest event is called late; None for never.
    """
    return page(title, now, given(ask, now, products, late_after))


def given(ask: Ask, now: datetime, products: int, late_after: timedelta | None) -> Document:
    """Return what the page's script is given: all its views."""
    trust = published_trust(ask)
    known = known_days(ask)
    common = {"dark": theme.DARK, "config": charts.CONFIG, "trust": trust}
    common["fresh"] = freshness(trust["newest_event"], now, late_after)
    if known is None:
        return {**common, "empty": NOTHING_YET}
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
        "period": default_period(periods),
        "periods": [{"name": name, "label": days.label} for name, days in periods.items()],
        "categories": names,
        "views": views,
    }


def page(title: str, now: datetime, given: Document) -> str:
    """Return the HTML file. Scripts run by their hashes only, and nothing is fetched, so nothing can leak.

    What is large is packed: the page's script unpacks the figures, and Plotly, whose hash is allowed as well.
    """
    from markupsafe import Markup

    script, plotly = html.own("page.js", "report.js"), html.plotly()
    policy = (
        f"default-src 'none'; script-src {html.hash_of(script)} {html.hash_of(plotly)}; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return html.render(
        is_live=False,
        title=title,
        csp=policy,
        made=f"Made {now:%-d %b %Y %H:%M} UTC",
        styles=Markup(f"<style>{html.own('page.css')}</style>"),  # noqa: S704 - our own file
        given=html.packed(given),
        plotly=html.packed_text(plotly),
        scripts=Markup(f"<script>{script}</script>"),  # noqa: S704 - our own file
    )
