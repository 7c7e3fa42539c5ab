"""What is too old, out of every layer."""

from __future__ import annotations

import click

from eventmint.cli.common import Change, carried_out
from eventmint.cli.frame import Call, cli, on_target


@on_target
@cli.command()
@click.option("--purge", is_flag=True, help="Remove every earlier state, too, which still has the rows.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def retain(call: Call, /, purge: bool, dry_run: bool, yes: bool) -> None:
    """Remove what is older than [retention] allows, from every layer.

    The first run of a day does the same, and so does `maintain`. Shows first what would be done. Days count
    from the newest event, so that a shop that stands still loses nothing.
    """
    from eventmint.lake import Lake, retention_to_dict
    from eventmint.serve.screens import draw_expiry
    from eventmint.values import Retention

    def asks(planned: Retention) -> bool:
        return planned.changed or purge

    lake = call.lake()
    change = Change(
        plan=lambda: lake.retain(dry_run=True),
        do=lambda progress: Lake(lake.settings, progress).retain(purge=purge),
        as_dict=retention_to_dict,
        draw=draw_expiry,
        asks=asks,
        question="Do this? What goes cannot be made again.",
    )
    made = carried_out(call, change, dry_run=dry_run, yes=yes)
    if made is not None:
        call.put(retention_to_dict(made), draw_expiry)
