"""Ask and check: query, verify, maintain, doctor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

import click

from eventmint.cli.frame import Call, as_of_run, cli, on_target
from eventmint.errors import FixSettings
from eventmint.serve.streams import plain, tell_error, write_out

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_ROWS = 100


@as_of_run
@cli.command()
@click.argument("sql", required=False)
@click.option(
    "-f", "--file", type=click.File(encoding="utf-8"), help="Read the statements from a file; - is stdin."
)
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "jsonl"]), help="Default: table."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Rows at most, 0 for all; a table has {TABLE_ROWS}.",
)
@click.option(
    "--target",
    type=click.Choice(["local", "athena"]),
    default="local",
    show_default=True,
    help="Who answers: the lake's published tables, or Athena on AWS (costs money).",
)
@click.pass_obj
def query(
    call: Call, sql: str | None, file: TextIO | None, form: str | None, limit: int | None, target: str
) -> None:
    """Ask in SQL, read-only.

    One SELECT over gold.* (the schema may be left out), silver.* and bronze.*, or several in a file.
    """
    if (sql is None) == (file is None):
        raise click.UsageError("Give either a SELECT or -f FILE.")
    if call.as_of and target == "athena":
        raise click.UsageError("--as-of asks the lake's own tables, not Athena.")
    if call.wants_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} exclude each other.")
    call.wants_json = call.wants_json or form == "json"
    statements = _statements_of(file, form) if file else [("", sql or "")]
    if limit is None and form in (None, "table") and not call.wants_json:
        limit = TABLE_ROWS
    ask, results = _asker(call, target), []
    for number, (title, statement) in enumerate(statements):
        rows, price = ask(statement, limit + 1 if limit else None)
        is_cut = bool(limit) and rows.num_rows > (limit or 0)
        rows = rows.slice(0, limit or None)
        if call.wants_json:
            from eventmint.serve.documents import result_document

            results.append(result_document(title, rows, is_cut) | price)
        else:
            _write_result(call, form, title, rows, is_first=number == 0)
            if is_cut:
                call.say(f"({limit:,} rows shown, there are more: --limit N, 0 for all)")
    if call.wants_json:
        call.put({"results": results} if file else results[0], lambda *_: None)


def _asker(call: Call, target: str) -> Callable[[str, int | None], tuple[pa.Table, dict[str, Any]]]:
    """Return who answers a statement: with rows, and what they took where that costs money."""
    if target == "athena":
        from eventmint.cli.aws import ask_athena

        return ask_athena(call)
    from eventmint.serve.limits import process_limits

    state = click.get_current_context().with_resource(call.state())
    limits = state.limits

    def ask(statement: str, limit: int | None) -> tuple[pa.Table, dict[str, Any]]:
        with process_limits(limits, lambda: tell_error(limits.overtime(), call.wants_json)):
            return state.sql(statement, limit), {}

    return ask


def _statements_of(file: TextIO, form: str | None) -> list[tuple[str, str]]:
    from eventmint.serve.answers import titled_statements

    try:
        statements = titled_statements(file.read())
    except UnicodeDecodeError:
        raise FixSettings(f"{file.name}: is not UTF-8 text.") from None
    if not statements:
        raise FixSettings(f"{file.name}: holds no statement.")
    if form in ("csv", "jsonl") and len(statements) > 1:
        raise FixSettings(
            f"{form} holds one result, {file.name} has {len(statements)}.", "Use --format json or table."
        )
    return statements


def _write_result(call: Call, form: str | None, title: str, rows: pa.Table, *, is_first: bool) -> None:
    from eventmint.serve.formats import csv_lines, json_lines
    from eventmint.serve.screens import draw_result

    if form == "csv":
        write_out(csv_lines(rows, plain if sys.stdout.isatty() else str))
    elif form == "jsonl":
        write_out(json_lines(rows))
    else:
        call.put({"title": title, "rows": rows, "is_first": is_first}, draw_result)


@on_target
@cli.command()
@click.option("--deep", is_flag=True, help="Every value of every table, made again from the files alone.")
@click.pass_obj
def verify(call: Call, *, deep: bool) -> int:
    """Prove the laws again from the rows of every file."""
    from eventmint.lake import law_to_dict
    from eventmint.serve.screens import draw_laws

    laws = call.lake().verify(deep=deep)
    holds = all(law.holds for law in laws)
    call.put({"laws_hold": holds, "laws": [law_to_dict(law) for law in laws]}, draw_laws)
    return 0 if holds else 1


@on_target
@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def maintain(call: Call, *, dry_run: bool) -> None:
    """The same rows in fewer files; old states and orphans go.

    A run does it by itself once a day, for at most run.maintain_seconds.
    """
    from eventmint.lake import Lake, maintenance_to_dict
    from eventmint.serve.screens import draw_maintenance
    from eventmint.serve.terminal import watching

    with watching(sys.stderr, call.is_silent) as progress:
        made = Lake(call.settings_on_target(), progress).maintain(dry_run=dry_run)
    call.put(maintenance_to_dict(made), draw_maintenance)
    for location in made.damaged:
        call.say(plain(f"damaged, left alone: {location}; see `eventmint verify --deep`"))


@on_target
@cli.command()
@click.pass_obj
def doctor(call: Call) -> int:
    """Can a run succeed here? Each complaint with its cure."""
    from eventmint.serve.doctor import BROKEN, examine, settings_with_origins
    from eventmint.serve.screens import draw_doctor
    from eventmint.sources.discover import list_source

    settings = call.settings()
    checks = examine(
        settings, lambda: len(list_source(settings.source_location, settings.source.pattern).files)
    )
    is_healthy = all(check.verdict != BROKEN for check in checks)
    rows = settings_with_origins(settings)
    call.put(
        {"healthy": is_healthy, "checks": [asdict(check) for check in checks], "settings": rows}, draw_doctor
    )
    return 0 if is_healthy else 1
