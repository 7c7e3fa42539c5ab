"""The quarantine: looked at, judged again, written out."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from eventmint.cli.common import Change, carried_out
from eventmint.cli.frame import Call, Group, cli, on_target
from eventmint.serve.streams import plain


@on_target
@cli.group(cls=Group, invoke_without_command=True)
@click.option("--reason", metavar="REASON", help="Show the lines that have this reason.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="N", show_default=True, help="Lines at most."
)
@click.pass_context
def quarantine(ctx: click.Context, reason: str | None, limit: int) -> None:
    """What was set aside and why; judge it again, or write it out."""
    if ctx.invoked_subcommand is None:
        _show(ctx.find_object(Call) or Call(), reason, limit)
        return
    for name in ("reason", "limit"):
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} belongs behind {ctx.invoked_subcommand}, if anywhere.")


def _show(call: Call, reason: str | None, limit: int) -> None:
    from eventmint.serve.documents import lines_document
    from eventmint.serve.screens import draw_quarantined, draw_reasons

    lake = call.lake()
    reasons = lake.quarantine_by_reason()
    if reason is None:
        held = sum(entry.quarantined for entry in lake.ledger().entries if entry.has_lines)
        call.put({"quarantined": held, "reasons": reasons}, draw_reasons)
        if reasons:
            call.say(f"next: eventmint quarantine --reason {next(iter(reasons))}")
        return
    _say_if_unknown(call, reason, reasons)
    document = lines_document(reason, reasons.get(reason, 0), lake.quarantine(reason, limit))
    call.put(document, draw_quarantined)
    if len(document["lines"]) < document["count"]:
        call.say(f"({len(document['lines']):,} of {document['count']:,} lines; more with --limit)")


def _say_if_unknown(call: Call, reason: str | None, reasons: Collection[str]) -> None:
    if reason is None or reason in reasons:
        return
    near = difflib.get_close_matches(reason, reasons, n=1)
    further = f"Did you mean {near[0]}?" if near else "See `eventmint quarantine` for those that there are."
    call.say(f"no line has the reason {plain(reason)}. {further}")


@on_target
@quarantine.command()
@click.option("--reason", metavar="REASON", help="Only the lines that have this reason.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def replay(call: Call, reason: str | None, dry_run: bool, yes: bool) -> None:
    """Judge the lines again by today's contract; those that pass become events.

    Shows first what would be done. What fails for other reasons than before gets those and stays.
    """
    from eventmint.lake import Lake, replay_to_dict
    from eventmint.serve.screens import draw_replay

    lake = call.lake()
    if reason is not None:
        _say_if_unknown(call, reason, lake.quarantine_by_reason())
    change = Change(
        plan=lambda: lake.replay_quarantine(reason, dry_run=True),
        do=lambda progress: Lake(lake.settings, progress).replay_quarantine(reason),
        as_dict=replay_to_dict,
        draw=draw_replay,
    )
    made = carried_out(call, change, dry_run=dry_run, yes=yes)
    if made is None:
        return
    call.put(replay_to_dict(made), draw_replay)
    for location in made.damaged:
        call.say(plain(f"damaged, left alone: {location}; see `eventmint verify --deep`"))


@on_target
@quarantine.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", metavar="REASON", help="Only the lines that have this reason.")
@click.option("--with-cut", is_flag=True, help="Also the first 4,096 bytes of lines that were too long.")
@click.pass_obj
def export(call: Call, file: Path, reason: str | None, with_cut: bool) -> None:
    """Write the lines to FILE, byte for byte as they came.

    A line each, in order of source file and line number; compressed where FILE ends with .gz. A FILE that is
    there is replaced.
    """
    from eventmint.serve.screens import draw_export

    lake = call.lake()
    if reason is not None:
        _say_if_unknown(call, reason, lake.quarantine_by_reason())
    made = lake.export_quarantine(file, reason, with_cut=with_cut)
    call.put(asdict(made), draw_export)
    if made.cut and not with_cut:
        lines = "1 line that was" if made.cut == 1 else f"{made.cut:,} lines that were"
        call.say(f"left out: {lines} too long to be kept; first bytes with --with-cut")
