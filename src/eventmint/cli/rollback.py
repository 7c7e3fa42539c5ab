"""Going back: all answers as an earlier run left them."""

from __future__ import annotations

import click

from eventmint.cli.common import Change, carried_out
from eventmint.cli.frame import Call, cli, on_target


@on_target
@cli.command()
@click.option("--to", metavar="RUN", required=True, help="The run, by its id or the beginning of it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def rollback(call: Call, to: str, dry_run: bool, yes: bool) -> None:
    """Bring all tables and answers back to what an earlier run had left.

    Shows first what would be done. The next run takes in again what was rolled back: take a bad file out of
    the source first. `eventmint history` names the runs.
    """
    from eventmint.lake import Lake, rollback_to_dict
    from eventmint.serve.screens import draw_rollback

    lake = call.lake()
    change = Change(
        plan=lambda: lake.rollback(to, dry_run=True),
        do=lambda progress: Lake(lake.settings, progress).rollback(to),
        as_dict=rollback_to_dict,
        draw=draw_rollback,
    )
    made = carried_out(call, change, dry_run=dry_run, yes=yes)
    if made is None:
        return
    call.put(rollback_to_dict(made), draw_rollback)
    if made.changed and made.files and not dry_run:
        call.say("the next run takes these files in again, where they are still there")
