"""`plan`: what a run would do, before it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from eventmint.cli.frame import Call, cli, on_target
from eventmint.cli.run import of_a_run, settings_of_run


@on_target
@cli.command()
@of_a_run
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Save it for `run --plan FILE`.")
@click.pass_obj
def plan(call: Call, /, source: str | None, out: Path | None, **asked: Any) -> None:
    """What a run would take in, write and cost; it writes nothing.

    The run is played in a temporary folder, over the lake as it is, so planning takes about as long as the
    run. SOURCE and the options are those of `run`.
    """
    from eventmint.lake import Lake
    from eventmint.run_plan import plan_to_dict, write_plan
    from eventmint.serve.plan_screen import draw_plan
    from eventmint.serve.terminal import watching

    settings = settings_of_run(call, **asked)
    with watching(sys.stderr, call.is_silent) as progress:
        made = Lake(settings, progress).plan(source)
    if out:
        write_plan(made, out)
    call.put(plan_to_dict(made), draw_plan)
    if out:
        call.say(f"saved: do it with `eventmint run --plan {out}`")
