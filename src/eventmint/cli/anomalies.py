"""`anomalies`: hours unlike the same hours of the weeks before."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from eventmint.cli.frame import Call, cli, on_target
from eventmint.errors import EventmintError
from eventmint.serve.streams import tell_error


class Unlike(EventmintError):
    """An hour is unlike the same hours of the weeks before."""

    exit_code = 7


@on_target
@cli.command()
@click.option(
    "--last",
    default="24h",
    metavar="TIME",
    show_default=True,
    help="How far back from the last complete hour: 6h, 2d, at most 28d.",
)
@click.pass_obj
def anomalies(call: Call, last: str) -> int:
    """Hours unlike the same hours of the weeks before.

    Events, revenue, duplicates and quarantine of each complete hour are held against the same hour of the
    week in up to eight weeks before. Exit code 7 where one is unlike.
    """
    from eventmint.lake import anomalies_to_dict
    from eventmint.serve.journeys import window_of
    from eventmint.serve.watching_screen import draw_anomalies

    found = call.lake().anomalies(window_of(last), now=datetime.now(UTC))
    call.put(anomalies_to_dict(found), draw_anomalies)
    if not found.found:
        return 0
    count = len(found.found)
    words = "1 hour is" if count == 1 else f"{count} hours are"
    error = Unlike(
        f"{words} unlike the weeks before{', the last one' if count > 1 else ''}: {found.found[-1]}.",
        "See `eventmint history` for the runs of that time.",
    )
    tell_error(error, call.wants_json)
    return error.exit_code
