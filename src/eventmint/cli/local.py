"""The commands of one machine: sample, run, look, ask, check. Each makes one call of the Lake."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from eventmint.cli.frame import Call, Command, cli, on_target
from eventmint.errors import EventmintError, FixData, FixSettings
from eventmint.serve.streams import plain, tell_error, write_out
from eventmint.storage import is_s3

if TYPE_CHECKING:
    import pyarrow as pa

    from eventmint.config import Settings
    from eventmint.lake import Lake
    from eventmint.serve.summary import Period

# As in contracts.ANSWERS, which is slow to import.
ANSWERS = ("conversion_funnel", "hourly_revenue", "top_products", "category_performance", "user_activity")
STATUSES = ("landed", "same_content", "set_aside")
TABLE_ROWS = 100
SET_ASIDE_SHOWN = 5
TOKEN_LETTERS = 16
DEMO, CLONE_DATA = Path("demo"), Path("sample-data")


class QuarantineAboveLimit(EventmintError):
    """The run is done and published, but set more lines aside than `quality.max_quarantine` allows."""

    exit_code = 3


class OneOf(click.Choice[str]):
    """A choice that guesses what was meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        near = difflib.get_close_matches(value, self.choices, n=1)
        return (
            f"{value!r}. Did you mean {near[0]!r}?"
            if near
            else super().get_invalid_choice_message(value, ctx)
        )


# ---- start -------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def init(call: Call, folder: Path) -> None:
    """Write eventmint.toml and the data folder."""
    from eventmint.serve.first_steps import write_settings

    config, is_new = write_settings(folder)
    said = "written" if is_new else "there already, left as it is"
    call.put({"config": str(config), "written": is_new}, lambda page, _: page.line(f"{config}: {said}"))
    command = "eventmint run" if folder == Path() else f"eventmint -C {folder} run"
    call.say(f"next: put *.jsonl.gz files below {folder / 'data'}, then `{command}`")


class SampleCommand(Command):
    """Takes its options from the generator, when they are asked for."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from eventmint.sources.sample import HELP, SampleSettings, option

        if not any(parameter.name == "seed" for parameter in self.params):
            for name, meaning in HELP.items():
                default = getattr(SampleSettings, name)
                kind: Any = {"start": _moment, "truth": Path}.get(name, type(default))
                shown = default is not None and "default" not in meaning
                text = f"{meaning[0].upper()}{meaning[1:]}."
                self.params.append(
                    click.Option([option(name)], type=kind, default=default, show_default=shown, help=text)
                )
        return super().get_params(ctx)


def _moment(value: str | datetime) -> datetime:
    try:
        return value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time like 2026-01-15T10:00:00Z") from None


@cli.command(cls=SampleCommand)
@click.pass_obj
def sample(call: Call, /, **values: Any) -> None:
    """Generate sample events, and the right answers to them."""
    from eventmint.sources.sample import Progress, SampleSettings, SettingsError, generate

    try:
        settings = SampleSettings(**values)
    except SettingsError as err:
        raise FixSettings(f"{err}.", "See `eventmint sample --help`.") from None
    made = generate(settings, (lambda _: None) if call.is_silent else Progress(settings.num_files))
    folder = str(settings.output_dir)
    counts = ", ".join(f"{count:,} {name}" for name, count in made.totals.items())
    document = {"folder": folder, "files": len(made.files), "totals": made.totals}
    call.put(document, lambda page, _: page.line(f"{len(made.files)} files in {folder}: {counts}"))
    call.say(f"next: eventmint run {folder}")


@cli.command()
@click.pass_obj
def demo(call: Call) -> int:
    """Take sample data through everything: the first five minutes."""
    from eventmint.config import load_settings
    from eventmint.lake import Lake
    from eventmint.serve.first_steps import after_demo, open_demo
    from eventmint.serve.screens import draw_demo
    from eventmint.serve.summary import Period

    # Its own configuration, and nothing from the environment: that is about somebody's real data.
    settings = load_settings(open_demo(DEMO, CLONE_DATA))
    truth = settings.source_path / "truth.json"
    if settings.source_path.resolve() == (DEMO / "data").resolve() and not truth.exists():
        from eventmint.sources.sample import SampleSettings, generate

        call.say(f"sample    two hours of a made-up shop, written to {DEMO / 'data'}")
        generate(SampleSettings(output_dir=settings.source_path, bad_rate=0.0014, truth=truth, workers=1))
    report = _run(call, settings, None)
    lake = Lake(settings)
    differences = _differences_from(truth, lake)
    page = _report_of_demo(lake, is_stale=report["changed"])
    document = {
        "run": report,
        "answers": _rows_of_answers(lake, ANSWERS, Period()),
        "differs_from_truth": differences,
        "report": page and str(page),
    }
    if not call.wants_json:
        document |= _summaries(lake, ANSWERS, Period(top=5))
    call.put(document, draw_demo)
    if differences:
        raise FixData(
            f"{DEMO}: not what truth.json says: {', '.join(differences)}.", "Delete the folder and try again."
        )
    call.say(after_demo(DEMO, page))
    return _exit_code(call, settings, report)


def _report_of_demo(lake: Lake, *, is_stale: bool) -> Path | None:
    """Return the page, made where there is none or something is new; None where pages cannot be drawn."""
    page = DEMO / "report.html"
    if not all(find_spec(name) for name in ("jinja2", "plotly")):
        return None
    return lake.report(page) if is_stale or not page.exists() else page


def _differences_from(truth_file: Path, lake: Lake) -> list[str] | None:
    """Return what differs from the right answers; None where there are none for just these files."""
    from eventmint.serve.summary import Period
    from eventmint.serve.truth import differences, load_truth

    truth = load_truth(truth_file, lake.ledger().entries)
    if truth is None:
        return None
    found = {"totals": asdict(lake.totals()), "quarantined_by_reason": lake.quarantine_by_reason()}
    return differences(truth, {**found, **_rows_of_answers(lake, ANSWERS, Period())})


# ---- run ---------------------------------------------------------------------------------------------------


class SourcePlace(click.Path):
    """A folder or file that exists, or an address in S3."""

    def __init__(self) -> None:
        super().__init__(exists=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        return value if is_s3(os.fspath(value)) else super().convert(value, param, ctx)


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
    report = _run(call, settings, source)
    call.put(report, draw_run)
    if not report["changed"]:
        _hint_at_pattern(call, settings, source or settings.source_location)
    return _exit_code(call, settings, report)


def _run(call: Call, settings: Settings, source: str | None) -> dict[str, Any]:
    """Run the pipeline, tell what it left out; return the report as plain data."""
    from eventmint.lake import Lake, report_to_dict
    from eventmint.serve.terminal import watching

    with watching(sys.stderr, call.is_silent) as progress:
        lake = Lake(settings, progress)
        report = lake.run(source)
    for path, reason in list(report.set_aside.items())[:SET_ASIDE_SHOWN]:
        call.say(plain(f"set aside: {path}: {reason}"))
    if len(report.set_aside) > SET_ASIDE_SHOWN:
        call.say(
            f"set aside: {len(report.set_aside):,} files in all, see `eventmint files --status set_aside`"
        )
    for path, reason in report.skipped.items():
        call.say(plain(f"skipped: {path}: {reason}"))
    if report.files_unsettled:
        call.say(f"{report.files_unsettled:,} files are still being written: run again for them")
    return {**report_to_dict(report), "lake": _books(lake)}


def _books(lake: Lake) -> dict[str, int]:
    from eventmint.serve.documents import books

    ledger = lake.ledger()
    return books(lake.totals(), ledger.entries, ledger.live_contents())


def _exit_code(call: Call, settings: Settings, report: Mapping[str, Any]) -> int:
    """Return 0, or 3 with a word on the reasons where too many lines were set aside."""
    from eventmint.serve.documents import quarantine_complaint

    complaint = quarantine_complaint(report, settings.quality.max_quarantine)
    if complaint is None:
        return 0
    error = QuarantineAboveLimit(complaint, "The run is done and published; see `eventmint quarantine`.")
    tell_error(error, call.wants_json)
    return error.exit_code


def _hint_at_pattern(call: Call, settings: Settings, source: str) -> None:
    from eventmint.sources.discover import list_source

    pattern = settings.source.pattern
    if not call.is_silent and not list_source(source, pattern).files:
        call.say(f"hint: no file below {source} matches {pattern}; name another folder or set source.pattern")


# ---- look --------------------------------------------------------------------------------------------------


@on_target
@cli.command()
@click.pass_obj
def status(call: Call) -> None:
    """Tables, books, the last run, the laws."""
    from eventmint.serve.documents import status_document
    from eventmint.serve.screens import draw_status

    lake = call.lake()
    ledger = lake.ledger()
    document = status_document(
        lake.layers(), _books(lake), ledger.entries, ledger.newest_event, lake.last_run()
    )
    call.put(document, draw_status)


@on_target
@cli.command()
@click.argument("name", required=False, type=OneOf(ANSWERS), metavar="[NAME]")
@click.option("--from", "start", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="First day, UTC.")
@click.option(
    "--to", "end", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The day after the last, UTC."
)
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
    lake, names = call.lake(), (name,) if name else ANSWERS
    if call.wants_json:
        rows = _rows_of_answers(lake, names, period)
        call.put({"from": period.start, "to": period.end, "answers": rows}, draw_answers)
    else:
        call.put(_summaries(lake, names, period), draw_answers)


def _rows_of_answers(lake: Lake, names: Iterable[str], period: Period) -> dict[str, Any]:
    from eventmint.serve.formats import json_rows

    return {name: json_rows(lake.answer(name, start=period.start, end=period.end)) for name in names}


def _summaries(lake: Lake, names: Iterable[str], period: Period) -> dict[str, Any]:
    from eventmint.serve.formats import json_rows
    from eventmint.serve.summary import days_sql, summary_sql

    (days,) = json_rows(lake.sql(days_sql(period)))
    return {
        "period": days,
        "summaries": {name: json_rows(lake.sql(summary_sql(name, period))) for name in names},
    }


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


@on_target
@cli.command()
@click.option("--reason", metavar="REASON", help="Show the lines that have this reason.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="N", show_default=True, help="Lines at most."
)
@click.pass_obj
def quarantine(call: Call, reason: str | None, limit: int) -> None:
    """What was set aside and why."""
    from eventmint.serve.documents import lines_document
    from eventmint.serve.screens import draw_quarantined, draw_reasons

    lake = call.lake()
    reasons = lake.quarantine_by_reason()
    if reason is None:
        call.put({"quarantined": lake.totals().quarantined, "reasons": reasons}, draw_reasons)
        if reasons:
            call.say(f"next: eventmint quarantine --reason {next(iter(reasons))}")
        return
    near = difflib.get_close_matches(reason, reasons, n=1)
    if reason not in reasons:
        call.say(f"no line has the reason {plain(reason)}." + (f" Did you mean {near[0]}?" if near else ""))
    document = lines_document(reason, reasons.get(reason, 0), lake.quarantine(reason, limit))
    call.put(document, draw_quarantined)
    if len(document["lines"]) < document["count"]:
        call.say(f"({len(document['lines']):,} of {document['count']:,} lines; more with --limit)")


@on_target
@cli.command()
@click.argument(
    "file", metavar="[FILE]", default="report.html", type=click.Path(dir_okay=False, path_type=Path)
)
@click.pass_obj
def report(call: Call, file: Path) -> None:
    """Write the answers as one HTML file.

    FILE, by default report.html, opens in any browser and asks no network: send it, or put it where it is
    looked at. Settings: report.title, report.products.
    """
    written = call.lake().report(file)
    size = written.stat().st_size
    call.put(
        {"file": str(written), "bytes": size}, lambda page, _: page.line(f"{written}: {size / 1e6:.1f} MB")
    )
    call.say("next: open it in a browser")


@on_target
@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8400, show_default=True, help="0 for any that is free."
)
@click.option("--allow-remote", is_flag=True, help="Let other machines in, with a token.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@click.pass_obj
def serve(call: Call, host: str, port: int, *, allow_remote: bool, opens: bool) -> None:
    """The pages live, until Ctrl-C: any days, any category, journeys, and an API.

    Other machines need --allow-remote, --host and a token: that of EVENTMINT_TOKEN, or a new one. It speaks
    HTTP: put what speaks HTTPS before it.
    """
    from eventmint.serve.dashboard.server import is_near, listen
    from eventmint.serve.dashboard.server import serve as answer

    if not is_near(host) and not allow_remote:
        raise FixSettings(
            f"{host}: other machines could reach the dashboard there.",
            "Add --allow-remote, and they need a token; or leave --host out.",
        )
    token = _token() if allow_remote else None
    application = call.lake().dashboard(host, token)
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/{f'?token={token}' if token else ''}"

    def tell() -> None:
        call.put({"url": address}, lambda page, _: page.line(address))
        call.say("Ctrl-C ends it")
        if opens:
            import webbrowser

            webbrowser.open(address)

    answer(application, listening, tell)


def _token() -> str:
    """Return the token that is set, or a new one. Raises: FixSettings: it can be guessed."""
    import secrets

    token = os.environ.get("EVENTMINT_TOKEN") or secrets.token_urlsafe(32)
    if len(token) < TOKEN_LETTERS or not token.isascii():
        raise FixSettings(
            f"EVENTMINT_TOKEN is no token: {TOKEN_LETTERS} letters of ASCII or more.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


@on_target
@cli.command()
@click.option(
    "--steps",
    default="page_view,add_to_cart,purchase",
    metavar="A,B,...",
    show_default=True,
    help="Event types in their order, each once.",
)
@click.option(
    "--window",
    default="30m",
    metavar="TIME",
    show_default=True,
    help="How long a journey may go on: 90s, 30m, 2h, 7d.",
)
@click.option("--by", type=OneOf(("product", "category")), help="All steps of the same one.")
@click.option(
    "--per",
    "who",
    type=OneOf(("session", "user")),
    default="session",
    show_default=True,
    help="Whose journeys.",
)
@click.option(
    "--from",
    "start",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="Begun on this day, UTC, or later.",
)
@click.option("--to", "end", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="Begun before this day.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    metavar="N",
    show_default=True,
    help="Products or categories shown.",
)
@click.pass_obj
def funnel(call: Call, /, top: int, steps: str, window: str, **asked: Any) -> None:
    """How many go on from one step to the next.

    Counts journeys of a session or user through events that follow each other, not events: see
    docs/journeys.md. The screen shows the products or categories with most journeys, --json all of them.
    """
    from eventmint.serve.formats import json_rows
    from eventmint.serve.journeys import window_of
    from eventmint.serve.screens import draw_journeys

    wanted = tuple(step.strip() for step in steps.split(","))
    for side in ("start", "end"):
        asked[side] = asked[side] and asked[side].date()
    rows = call.lake().funnel(wanted, window_of(window), **asked)
    document = {"steps": list(wanted), "window": window, "per": asked["who"], "by": asked["by"]}
    document["rows"] = json_rows(rows)
    call.put(document, lambda page, made: draw_journeys(page, made, top))


@on_target
@cli.command()
@click.option(
    "--by",
    type=OneOf(("day", "week", "month")),
    default="week",
    show_default=True,
    help="Length of a period.",
)
@click.pass_obj
def retention(call: Call, by: str) -> None:
    """How many users come again.

    Users are those of the day, week or month in which the lake first saw them: see docs/journeys.md.
    """
    from eventmint.serve.formats import json_rows
    from eventmint.serve.screens import draw_retention

    call.put({"by": by, "rows": json_rows(call.lake().retention(by))}, draw_retention)


# ---- ask, check --------------------------------------------------------------------------------------------


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
    from eventmint.serve.limits import Limits, process_limits

    lake = call.lake()
    limits = Limits(lake.settings.query.max_seconds, lake.settings.query.memory_mb)

    def ask(statement: str, limit: int | None) -> tuple[pa.Table, dict[str, Any]]:
        with process_limits(limits, lambda: tell_error(limits.overtime(), call.wants_json)):
            return lake.sql(statement, limit=limit), {}

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
