"""`run`: what is new goes in, the answers come up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventmint.cli.common import OneOf, SourcePlace, exit_code, run_pipeline
from eventmint.cli.frame import Call, cli, on_target
from eventmint.serve.streams import plain

if TYPE_CHECKING:
    from eventmint.config import Settings
    from eventmint.run_plan import RunPlan


def of_a_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command be told what decides a run: its source, and settings for this time."""
    for option in (
        click.option("--dedup", metavar="COLUMNS", help='"content", or columns such as event_time,user_id.'),
        click.option("--workers", type=int, metavar="N", help="Processes; 0 is one per core."),
        click.option("--engine", type=OneOf(("duckdb", "spark")), help="Who computes; spark needs Java 17."),
        click.argument("source", required=False, type=SourcePlace()),
    ):
        command = option(command)
    return command


def settings_of_run(
    call: Call,
    *,
    engine: str | None,
    workers: int | None,
    dedup: str | None,
    max_quarantine: float | None = None,
) -> Settings:
    """Return the settings for a run that was asked for so."""
    columns = None if dedup is None else [column.strip() for column in dedup.split(",")]
    flags: dict[str, Any] = {"run.engine": engine, "run.workers": workers}
    flags |= {"quality.max_quarantine": max_quarantine, "quality.dedup": columns}
    return call.settings_on_target(flags)


@on_target
@cli.command()
@of_a_run
@click.option(
    "--max-quarantine", type=float, metavar="SHARE", help="More, such as 0.01, ends with exit code 3."
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Do what `plan --out FILE` wrote, or end with code 8 where anything has changed since.",
)
@click.pass_obj
def run(
    call: Call, /, source: str | None, max_quarantine: float | None, plan_file: Path | None, **asked: Any
) -> int:
    """Take in what is new in SOURCE, bring the answers up to date.

    SOURCE is a folder, a file or s3://bucket/prefix; without it, source.path of the configuration.
    """
    from eventmint.serve.screens import draw_run

    settings = settings_of_run(call, **asked, max_quarantine=max_quarantine)
    plan = _read(plan_file, source) if plan_file else None
    report = run_pipeline(call, settings, source, plan)
    call.put(report, draw_run)
    if plan:
        _compare(call, plan, report)
    elif not report["changed"]:
        _hint_at_pattern(call, settings, source or settings.source_location)
    return exit_code(call, settings, report)


def _read(plan_file: Path, source: str | None) -> RunPlan:
    from eventmint.run_plan import read_plan

    if source:
        raise click.UsageError("SOURCE and --plan exclude each other: the plan names its source.")
    return read_plan(plan_file)


def _compare(call: Call, plan: RunPlan, report: dict[str, Any]) -> None:
    """Say where a run went otherwise than planned, which only a file that went meanwhile can explain."""
    from eventmint.run_plan import deviations

    found = deviations(plan.expected, report)
    for line in found:
        call.say(f"not as planned: {line}")
    if not found:
        call.say("as planned")


def _hint_at_pattern(call: Call, settings: Settings, source: str) -> None:
    from eventmint.sources.discover import list_source

    pattern = settings.source.pattern
    if call.is_silent or list_source(source, pattern).files:
        return
    call.say(f"hint: no file below {source} matches {pattern}; name another folder or set source.pattern")
    if others := list_source(source, "**").files:
        there = "1 file is" if len(others) == 1 else f"{len(others):,} files are"
        example = others[0].path.rsplit("/", 1)[-1]
        call.say(plain(f"hint: {there} there that no run reads, such as {example}; events come gzipped"))
