"""The first commands of a newcomer's day: init, sample, demo."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventmint.cli.common import ANSWERS, exit_code, rows_of_answers, run_pipeline, summaries
from eventmint.cli.frame import Call, Command, cli
from eventmint.errors import FixData, FixSettings

if TYPE_CHECKING:
    from eventmint.lake import Lake

DEMO, CLONE_DATA = Path("demo"), Path("sample-data")


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
                metavar = {"start": "TIME", "truth": "FILE", "output_dir": "DIR"}.get(name, "N")
                shown = default is not None and "default" not in meaning
                text = f"{meaning[0].upper()}{meaning[1:]}."
                self.params.append(
                    click.Option(
                        [option(name)],
                        type=kind,
                        default=default,
                        show_default=shown,
                        metavar=metavar,
                        help=text,
                    )
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
    from eventmint.run_log import counted
    from eventmint.serve.streams import talks_json
    from eventmint.sources.sample import Progress, SampleSettings, SettingsError, generate

    try:
        settings = SampleSettings(**values)
    except SettingsError as err:
        raise FixSettings(f"{err}.", "See `eventmint sample --help`.") from None
    made = generate(
        settings, (lambda _: None) if call.is_silent or talks_json() else Progress(settings.num_files)
    )
    folder = str(settings.output_dir)
    counts = ", ".join(f"{count:,} {name}" for name, count in made.totals.items())
    files = counted(len(made.files), "file")
    document = {"folder": folder, "files": len(made.files), "totals": made.totals}
    call.put(document, lambda page, _: page.line(f"{files} in {folder}: {counts}"))
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
    report = run_pipeline(call, settings, None)
    lake = Lake(settings)
    differences = _differences_from(truth, lake)
    page = _report_of_demo(lake, is_stale=report["changed"])
    document = {
        "run": report,
        "answers": rows_of_answers(lake, ANSWERS, Period()),
        "differs_from_truth": differences,
        "report": page and str(page),
    }
    if not call.wants_json:
        document |= summaries(lake, ANSWERS, Period(top=5))
    call.put(document, draw_demo)
    if differences:
        raise FixData(
            f"{DEMO}: not what truth.json says: {', '.join(differences)}.", "Delete the folder and try again."
        )
    call.say(after_demo(DEMO, page))
    return exit_code(call, settings, report)


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
    return differences(truth, {**found, **rows_of_answers(lake, ANSWERS, Period())})
