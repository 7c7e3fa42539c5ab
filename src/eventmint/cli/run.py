"""`run`: what is new goes in, the answers come up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from eventmint.cli.common import OneOf, SourcePlace, exit_code, run_pipeline
from eventmint.cli.frame import Call, cli, on_target

if TYPE_CHECKING:
    from eventmint.config import Settings


@on_target
@cli.command()
@click.argument("source", required=False, type=SourcePlace())
@click.option("--engine", type=OneOf(("duckdb", "spark")), help="Who computes; spark needs Java 17.")
@click.option("--workers", type=int, metavar="N", help="Processes; 0 is one per core.")
@click.option(
    "--max-quarantine", type=float, metavar="SHARE", help="More, such as 0.01, ends with exit code 3."
)
@click.option("--dedup", metavar="COLUMNS", help='"content", or columns such as event_time,user_id.')
@click.pass_obj
def run(
    call: Call,
    source: str | None,
    engine: str | None,
    workers: int | None,
    max_quarantine: float | None,
    dedup: str | None,
) -> int:
    """Take in what is new in SOURCE, bring the answers up to date.

    SOURCE is a folder, a file or s3://bucket/prefix; without it, source.path of the configuration.
    """
    from eventmint.serve.screens import draw_run

    columns = None if dedup is None else [column.strip() for column in dedup.split(",")]
    flags: dict[str, Any] = {"run.engine": engine, "run.workers": workers}
    flags |= {"quality.max_quarantine": max_quarantine, "quality.dedup": columns}
    settings = call.settings_on_target(flags)
    report = run_pipeline(call, settings, source)
    call.put(report, draw_run)
    if not report["changed"]:
        _hint_at_pattern(call, settings, source or settings.source_location)
    return exit_code(call, settings, report)


def _hint_at_pattern(call: Call, settings: Settings, source: str) -> None:
    from eventmint.sources.discover import list_source

    pattern = settings.source.pattern
    if not call.is_silent and not list_source(source, pattern).files:
        call.say(f"hint: no file below {source} matches {pattern}; name another folder or set source.pattern")
