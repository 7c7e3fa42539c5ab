"""Going back: all answers as an earlier run left them."""

from __future__ import annotations

import sys

import click

from eventmint.cli.common import agreed
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
    from eventmint.serve.terminal import watching

    lake = call.lake()
    if dry_run:
        made = lake.rollback(to, dry_run=True)
    else:
        if not (yes and call.is_silent):
            plan = rollback_to_dict(lake.rollback(to, dry_run=True))
            if plan["changed"] and not agreed(call, yes, "Do this?", lambda page: draw_rollback(page, plan)):
                call.say("nothing was changed")
                return
        # Also where nothing is to be done: it may be that an earlier rollback was cut off.
        with watching(sys.stderr, call.is_silent) as progress:
            made = Lake(lake.settings, progress).rollback(to)
    call.put(rollback_to_dict(made), draw_rollback)
    if made.changed and made.files and not dry_run:
        call.say("the next run takes these files in again, where they are still there")
