"""Days of the past: made anew from bronze, or taken in late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from eventmint.cli.common import Change, Day, SourcePlace, carried_out, exit_code
from eventmint.cli.frame import Call, cli, on_target

if TYPE_CHECKING:
    from eventmint.values import DayRange


def _of_days(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be told a range of days, and whether to ask."""
    kind = Day()
    for option in (
        click.option("-y", "--yes", is_flag=True, help="Do it without asking."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done."),
        click.option("--all", "is_all", is_flag=True, help="All days."),
        click.option("--to", "end", type=kind, metavar="DAY", help="The day after the last, UTC."),
        click.option("--from", "start", type=kind, metavar="DAY", help="First day, UTC."),
    ):
        command = option(command)
    return command


def _range(start: datetime | None, end: datetime | None, is_all: bool) -> DayRange:
    from eventmint.values import DayRange

    if is_all == bool(start or end):
        raise click.UsageError("Give --from, --to or both, or else --all.")
    if start and end and start >= end:
        raise click.UsageError("--to must be later than --from: it is the day after the last.")
    return DayRange(start and start.date(), end and end.date())


@on_target
@cli.command()
@_of_days
@click.pass_obj
def restate(call: Call, /, dry_run: bool, yes: bool, **days: Any) -> None:
    """Make silver and gold of some days anew from bronze.

    For after a change of rules or models. Shows first what would be done; readers of a table see it as it was
    or as it will be. With --all the lake also goes over to another quality.dedup.
    """
    from eventmint.lake import Lake, restatement_to_dict
    from eventmint.serve.screens import draw_restatement

    asked, lake = _range(**days), call.lake()
    change = Change(
        plan=lambda: lake.restate(asked, dry_run=True),
        do=lambda progress: Lake(lake.settings, progress).restate(asked),
        as_dict=restatement_to_dict,
        draw=draw_restatement,
    )
    made = carried_out(call, change, dry_run=dry_run, yes=yes)
    if made is not None:
        call.put(restatement_to_dict(made), draw_restatement)


@on_target
@cli.command()
@click.argument("source", type=SourcePlace())
@_of_days
@click.option(
    "--wait", default="10m", metavar="TIME", show_default=True, help="For another run at most: 30s, 5m, 1h."
)
@click.option(
    "--pause", default="2s", metavar="TIME", show_default=True, help="After each batch, for other runs."
)
@click.pass_obj
def backfill(call: Call, /, source: str, dry_run: bool, yes: bool, **asked: Any) -> int:
    """Take in the files of SOURCE that came in on some days, a batch at a time.

    SOURCE is a folder, a file or s3://bucket/prefix. Each batch is a run of its own, so that the runs of the
    live source go on between them. Shows first what would be taken in; what is in the lake is left out, so
    that a backfill that was cut off is just repeated.
    """
    from eventmint.lake import Lake, backfill_to_dict
    from eventmint.serve.journeys import window_of
    from eventmint.serve.screens import draw_backfill

    wait, pause = (window_of(asked.pop(name)) for name in ("wait", "pause"))
    days, settings = _range(**asked), call.settings_on_target()
    change = Change(
        plan=lambda: Lake(settings).backfill(source, days, dry_run=True),
        do=lambda progress: Lake(settings, progress).backfill(source, days, wait=wait, pause=pause),
        as_dict=backfill_to_dict,
        draw=draw_backfill,
        asks=attrgetter("files"),
    )
    made = carried_out(call, change, dry_run=dry_run, yes=yes)
    if made is None:
        return 0
    document = backfill_to_dict(made)
    call.put(document, draw_backfill)
    return exit_code(call, settings, document)
