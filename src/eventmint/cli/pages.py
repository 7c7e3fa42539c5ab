"""Pictures and journeys: report, serve, funnel, retention."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventmint.cli.common import Day, OneOf
from eventmint.cli.frame import Call, cli, on_target
from eventmint.errors import FixSettings
from eventmint.storage import is_s3

if TYPE_CHECKING:
    from eventmint.config import Settings

TOKEN_LETTERS = 16


@on_target
@cli.command()
@click.argument(
    "file", metavar="[FILE]", default="report.html", type=click.Path(dir_okay=False, path_type=Path)
)
@click.pass_obj
def report(call: Call, file: Path) -> None:
    """Write the answers as one HTML file.

    FILE, by default report.html, opens in any browser and asks no network: send it, or put it where it is
    looked at. Settings: report.title, report.products.
    """
    written = call.lake().report(file)
    size = written.stat().st_size
    call.put(
        {"file": str(written), "bytes": size}, lambda page, _: page.line(f"{written}: {size / 1e6:.1f} MB")
    )
    call.say("next: open it in a browser")


@on_target
@cli.command()
@click.option(
    "--host", default="127.0.0.1", metavar="ADDRESS", show_default=True, help="Address to listen on."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8400,
    metavar="N",
    show_default=True,
    help="0 for any that is free.",
)
@click.option("--allow-remote", is_flag=True, help="Let other machines in, with a token.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@click.pass_obj
def serve(call: Call, host: str, port: int, *, allow_remote: bool, opens: bool) -> None:
    """The pages live, until Ctrl-C: any days, any category, journeys, and an API.

    Other machines need --allow-remote, --host and a token: that of EVENTMINT_TOKEN, or a new one. It speaks
    HTTP: put what speaks HTTPS before it.
    """
    from eventmint.serve.dashboard import require_http

    require_http()
    from eventmint.serve.dashboard.listening import address_of, is_near, listen

    if not is_near(host) and not allow_remote:
        raise FixSettings(
            f"{host}: other machines could reach the dashboard there.",
            "Add --allow-remote, and they need a token; or leave --host out.",
        )
    token = _token() if allow_remote else None
    settings = call.settings_on_target()
    published = _published(settings)
    published()
    with listen(host, port) as listening:
        address = address_of(host, listening, token)
        call.put({"url": address}, lambda page, _: page.line(address))
        call.say("Ctrl-C ends it")
        if opens:
            import webbrowser

            webbrowser.open(address)
        # Only now: a browser may be on its way while what answers it is imported.
        from eventmint.serve.dashboard.app import Dashboard
        from eventmint.serve.dashboard.server import serve as answer

        answer(Dashboard(settings, published).application(host, token), listening)


def _published(settings: Settings) -> Callable[[], Path]:
    """Return who knows the published file. A lake in a folder publishes itself: looking at it needs no lake,
    whose libraries take half a second to import."""
    if is_s3(settings.lake_location):
        from eventmint.lake import Lake

        return Lake(settings).published
    from eventmint.serve.published import published_database

    return partial(published_database, settings)


def _token() -> str:
    """Return the token that is set, or a new one. Raises: FixSettings: it can be guessed."""
    import secrets

    token = os.environ.get("EVENTMINT_TOKEN") or secrets.token_urlsafe(32)
    if len(token) < TOKEN_LETTERS or not token.isascii():
        raise FixSettings(
            f"EVENTMINT_TOKEN is no token: {TOKEN_LETTERS} letters of ASCII or more.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


@on_target
@cli.command()
@click.option(
    "--steps",
    default="page_view,add_to_cart,purchase",
    metavar="A,B,...",
    show_default=True,
    help="Event types in their order, each once.",
)
@click.option(
    "--window",
    default="30m",
    metavar="TIME",
    show_default=True,
    help="How long a journey may go on: 90s, 30m, 2h, 7d.",
)
@click.option("--by", type=OneOf(("product", "category")), help="All steps of the same one.")
@click.option(
    "--per",
    "who",
    type=OneOf(("session", "user")),
    default="session",
    show_default=True,
    help="Whose journeys.",
)
@click.option(
    "--from",
    "start",
    type=Day(),
    metavar="DAY",
    help="Begun on this day, UTC, or later.",
)
@click.option("--to", "end", type=Day(), metavar="DAY", help="Begun before this day.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    metavar="N",
    show_default=True,
    help="Products or categories shown.",
)
@click.pass_obj
def funnel(call: Call, /, top: int, steps: str, window: str, **asked: Any) -> None:
    """How many go on from one step to the next.

    Counts journeys of a session or user through events that follow each other, not events: see
    docs/journeys.md. The screen shows the products or categories with most journeys, --json all of them.
    """
    from eventmint.serve.formats import json_rows
    from eventmint.serve.journeys import window_of
    from eventmint.serve.screens import draw_journeys

    wanted = tuple(step.strip() for step in steps.split(","))
    for side in ("start", "end"):
        asked[side] = asked[side] and asked[side].date()
    rows = call.lake().funnel(wanted, window_of(window), **asked)
    document = {"steps": list(wanted), "window": window, "per": asked["who"], "by": asked["by"]}
    document["rows"] = json_rows(rows)
    call.put(document, lambda page, made: draw_journeys(page, made, top))


@on_target
@cli.command()
@click.option(
    "--by",
    type=OneOf(("day", "week", "month")),
    default="week",
    show_default=True,
    help="Length of a period.",
)
@click.pass_obj
def retention(call: Call, by: str) -> None:
    """How many users come again.

    Users are those of the day, week or month in which the lake first saw them: see docs/journeys.md.
    """
    from eventmint.serve.formats import json_rows
    from eventmint.serve.screens import draw_retention

    call.put({"by": by, "rows": json_rows(call.lake().retention(by))}, draw_retention)
