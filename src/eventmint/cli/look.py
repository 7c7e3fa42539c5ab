"""The commands that look: status, history, show, files."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from eventmint.cli.common import ANSWERS, Day, OneOf, books_of, rows_of_answers, summaries
from eventmint.cli.frame import Call, as_of_run, cli, on_target
from eventmint.errors import EventmintError
from eventmint.serve.streams import tell_error

STATUSES = ("landed", "same_content", "set_aside", "replayed", "restated", "forgotten", "retained")


class Stale(EventmintError):
    """The newest event is older than allowed."""

    exit_code = 5


@on_target
@cli.command()
@click.option(
    "--fail-if-stale", "allowed", metavar="TIME", help="Exit code 5 if the newest event is older: 15m, 2h."
)
@click.pass_obj
def status(call: Call, allowed: str | None) -> int:
    """Tables, books, the last run, the laws."""
    from eventmint.serve.documents import staleness, status_document
    from eventmint.serve.journeys import window_of
    from eventmint.serve.screens import draw_status

    limit = window_of(allowed) if allowed else None
    lake = call.lake()
    ledger = lake.ledger()
    document = status_document(
        lake.layers(), books_of(lake), ledger.entries, ledger.newest_event, lake.last_run()
    )
    call.put(document, draw_status)
    complaint = limit and staleness(ledger.newest_event, datetime.now(UTC), limit)
    if not complaint:
        return 0
    error = Stale(complaint, "See `eventmint files` for what came in last.")
    tell_error(error, call.wants_json)
    return error.exit_code


@on_target
@cli.command()
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="N", show_default=True, help="Runs at most."
)
@click.pass_obj
def history(call: Call, limit: int) -> None:
    """The runs that changed something, the newest first."""
    from eventmint.serve.documents import history_document
    from eventmint.serve.screens import draw_history

    call.put(history_document(call.lake().runs(), limit), draw_history)


@on_target
@as_of_run
@cli.command()
@click.argument("name", required=False, type=OneOf(ANSWERS), metavar="[NAME]")
@click.option("--from", "start", type=Day(), metavar="DAY", help="First day, UTC.")
@click.option("--to", "end", type=Day(), metavar="DAY", help="The day after the last, UTC.")
@click.option(
    "--top", type=click.IntRange(min=1), default=10, metavar="N", show_default=True, help="Rows of a list."
)
@click.pass_obj
def show(call: Call, name: str | None, start: datetime | None, end: datetime | None, top: int) -> None:
    """The five answers, or one of them in full.

    NAME is conversion_funnel, hourly_revenue, top_products, category_performance or user_activity. The screen
    sums up the period; --json gives every row of the answers' tables.
    """
    from eventmint.serve.screens import draw_answers
    from eventmint.serve.summary import Period

    if start and end and start >= end:
        raise click.UsageError("--to must be later than --from: it is the day after the last.")
    period = Period(start and start.date(), end and end.date(), top)
    names = (name,) if name else ANSWERS
    with call.state() as state:
        if call.wants_json:
            rows = rows_of_answers(state, names, period)
            call.put({"from": period.start, "to": period.end, "answers": rows}, draw_answers)
        else:
            call.put(summaries(state, names, period), draw_answers)


@on_target
@cli.command()
@click.option("--status", "wanted", type=OneOf(STATUSES), help="Only files with this outcome.")
@click.pass_obj
def files(call: Call, wanted: str | None) -> None:
    """What came in and what became of it."""
    from eventmint.serve.documents import files_document
    from eventmint.serve.screens import draw_files

    entries = call.lake().ledger().entries
    call.put(files_document([entry for entry in entries if wanted in (None, entry.status)]), draw_files)
