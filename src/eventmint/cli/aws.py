"""The commands for AWS: deploy, destroy, look, ask. Each makes one call below `eventmint.aws`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventmint.cli.common import agreed
from eventmint.cli.frame import Call, Group, cli
from eventmint.errors import FixSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from eventmint.aws.names import Names
    from eventmint.config import Settings

TEMPLATE = "capstone-starter.cfn.yaml"
Decorated = Callable[..., Any]


def where(function: Decorated) -> Decorated:
    """Add the options that say which deployment is meant."""
    for option in (
        click.option("--region", metavar="REGION", help="Where; default: aws.region."),
        click.option("--id", "id_", metavar="ID", help="Which deployment; default: aws.id."),
    ):
        function = option(function)
    return function


def _place(call: Call, id_: str | None, region: str | None) -> tuple[Settings, Names]:
    from eventmint.aws.target import names_of

    settings = call.settings({"aws.id": id_, "aws.region": region})
    return settings, names_of(settings)


# ---- deploy ------------------------------------------------------------------------------------------------

# Option -> parameter of the template; True and False in the template's own words.
_SWITCH_WORDS = {"Schedule": ("ENABLED", "DISABLED")}
_PARAMETERS = {
    "role_arn": "ExistingRoleArn",
    "schedule": "Schedule",
    "retention_days": "RetentionDays",
    "workers": "GlueWorkers",
    "worker_type": "GlueWorkerType",
    "budget": "MonthlyBudget",
    "alert_email": "AlertEmail",
    "tables": "CreateTables",
    "report": "Report",
}


def parameters(function: Decorated) -> Decorated:
    """Add an option for each parameter of the template."""
    for option in (
        click.option(
            "--parameter",
            "others",
            multiple=True,
            metavar="NAME=VALUE",
            help="Any other parameter of the template.",
        ),
        click.option(
            "--tables/--no-tables", default=None, help="Should the stack create the Iceberg tables?"
        ),
        click.option(
            "--report/--no-report", default=None, help="Should each run publish lake/published/report.html?"
        ),
        click.option("--alert-email", metavar="ADDRESS", help="Who hears of alarms and the budget."),
        click.option("--budget", type=click.IntRange(min=1), metavar="DOLLARS", help="A month."),
        click.option("--worker-type", metavar="TYPE", help="Of the Glue job, such as G.1X."),
        click.option(
            "--workers", type=click.IntRange(min=2), metavar="N", help="Of the Glue job, driver included."
        ),
        click.option(
            "--retention-days", type=click.IntRange(min=1), metavar="N", help="How long events are kept."
        ),
        click.option(
            "--schedule/--no-schedule", default=None, help="Should events come and the job run by the clock?"
        ),
        click.option("--role-arn", metavar="ARN", help="Use this role where none may be made (AWS Academy)."),
    ):
        function = option(function)
    return function


def _template_parameters(options: Mapping[str, Any], others: Sequence[str]) -> dict[str, str]:
    found = {}
    for option, value in options.items():
        if value is None:
            continue
        name = _PARAMETERS[option]
        yes, no = _SWITCH_WORDS.get(name, ("true", "false"))
        found[name] = (yes if value else no) if isinstance(value, bool) else str(value)
    for text in others:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--parameter {text}: write NAME=VALUE.")
        found[name] = value
    return found


def _template_text(call: Call, given: Path | None) -> str:
    """Return the template: as given, else beside the configuration, else the one of the clone in use."""
    from importlib.resources import files

    clone = Path(__file__).resolve().parents[3] / TEMPLATE
    packaged = files("eventmint.aws").joinpath(TEMPLATE)
    for place in (given,) if given else ((call.home or Path.cwd()) / TEMPLATE, clone, packaged):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise FixSettings(
        f"{given or TEMPLATE}: there is no such template.",
        "It lies in the top folder of the repository; name it with --template FILE.",
    )


@cli.command()
@where
@parameters
@click.option("--template", type=click.Path(path_type=Path), metavar="FILE", help=f"Default: {TEMPLATE}.")
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Carry the plan out without asking.")
@click.pass_obj
def deploy(call: Call, /, id_: str | None, region: str | None, template: Path | None, **options: Any) -> int:
    """Create or update the stack on AWS, upload what the job needs.

    Shows the plan first. May be called again at any time: what is as it must be stays as it is. A parameter
    that is not given keeps its value.
    """
    from eventmint.aws import deploy as deploying
    from eventmint.aws.stack import Plan
    from eventmint.serve.aws_screens import draw_deployment, draw_plan

    dry_run, yes, others = (options.pop(name) for name in ("dry_run", "yes", "others"))
    given = _template_parameters(options, others)
    text = _template_text(call, template)
    settings, names = _place(call, id_, region)

    def consent(plan: Plan) -> bool:
        changes = [asdict(change) for change in plan.changes]
        return agreed(call, yes, "Carry this out?", lambda page: draw_plan(page, changes))

    done = deploying.deploy(
        names, settings.aws.region, text, given, consent=None if dry_run else consent, say=call.say
    )
    call.put(done.document(), draw_deployment)
    if done.is_done:
        call.say(f"next: eventmint aws status --id {names.id}")
    return 0 if (done.is_done or dry_run) and done.is_complete else 1


# ---- destroy -----------------------------------------------------------------------------------------------


@cli.command()
@where
@click.option("--delete-data", is_flag=True, help="Delete events and lake too, for good.")
@click.option("--dry-run", is_flag=True, help="Show what would go, change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def destroy(
    call: Call, id_: str | None, region: str | None, delete_data: bool, dry_run: bool, yes: bool
) -> int:
    """Remove the stack from AWS; events and lake stay.

    To stop only the cost of events and runs, `deploy --no-schedule` is enough.
    """
    from eventmint.aws import destroy as destroying
    from eventmint.serve.aws_screens import draw_destruction

    settings, names = _place(call, id_, region)

    def consent(plan: destroying.Destruction) -> bool:
        question = "Delete all of this, the data too, for good?" if delete_data else "Do this?"
        return agreed(call, yes, question, lambda page: draw_destruction(page, plan.document()))

    done = destroying.destroy(
        names,
        settings.aws.region,
        delete_data=delete_data,
        consent=None if dry_run else consent,
        say=call.say,
    )
    call.put(done.document(), draw_destruction)
    return 0 if done.is_done or done.is_empty or dry_run else 1


# ---- look, ask ---------------------------------------------------------------------------------------------


@cli.group(cls=Group)
def aws() -> None:
    """Look after what runs on AWS."""


@aws.command("status")
@where
@click.pass_obj
def aws_status(call: Call, id_: str | None, region: str | None) -> None:
    """Job runs, freshness, laws, cost so far."""
    from eventmint.aws.status import status
    from eventmint.serve.aws_screens import draw_status

    settings, names = _place(call, id_, region)
    last_run = _last_run_on_aws(settings)
    call.put(status(names, settings.aws.region, datetime.now(UTC), last_run), draw_status)


def _last_run_on_aws(settings: Settings) -> Callable[[], Mapping[str, Any] | None]:
    """Return what reads the record of the newest run from the lake on AWS."""
    import dataclasses

    from eventmint.aws.target import settings_on_aws

    def last_run() -> Mapping[str, Any] | None:
        from eventmint.lake import Lake

        on_aws = dataclasses.replace(settings, run=dataclasses.replace(settings.run, target="aws"))
        return Lake(settings_on_aws(on_aws)).last_run()

    return last_run


def ask_athena(call: Call) -> Callable[[str, int | None], tuple[pa.Table, dict[str, Any]]]:
    """Return what runs a statement in the workgroup and tells what it scanned and cost."""
    from eventmint.aws.athena import query

    settings, names = _place(call, None, None)

    def ask(statement: str, limit: int | None) -> tuple[pa.Table, dict[str, Any]]:
        answer = query(names, settings.aws.region, statement, limit)
        call.say(
            f"{answer.rows.num_rows:,} rows, {answer.bytes_scanned:,} bytes scanned, "
            f"${answer.dollars:f} ({answer.seconds:.1f} s)"
        )
        price = {
            "query_id": answer.query_id,
            "bytes_scanned": answer.bytes_scanned,
            "dollars": answer.dollars,
            "seconds": answer.seconds,
        }
        return answer.rows, {"athena": price}

    return ask
