"""`watch`: one run after the other, for as long as it is let."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from types import FrameType
from typing import Any

import click

from eventmint.cli.common import SourcePlace
from eventmint.cli.frame import Call, cli, on_target
from eventmint.errors import FixSettings, TryAgain
from eventmint.run_log import counted
from eventmint.serve.streams import plain, tell_error, write_out

LONGEST_PAUSE = timedelta(days=1)


@on_target
@cli.command()
@click.argument("source", required=False, type=SourcePlace())
@click.option(
    "--every", default="1m", metavar="TIME", show_default=True, help="From run to run: 30s, 5m, 1h."
)
@click.pass_obj
def watch(call: Call, source: str | None, every: str) -> None:
    """Run again and again, until Ctrl-C or SIGTERM.

    What comes into SOURCE is taken in at the next run; a run that finds nothing new costs little and says
    nothing. A run is ended before it stops; a second Ctrl-C ends it where it stands, and the next one repairs
    that. With --json each run is one line.
    """
    from eventmint.lake import Lake
    from eventmint.serve.journeys import window_of

    pause = window_of(every)
    if not timedelta(0) < pause <= LONGEST_PAUSE:
        raise FixSettings(
            f"--every {every}: a pause is longer than nothing and at most a day.", "Such as 5m."
        )
    lake = Lake(call.settings_on_target())
    with _told_to_stop(call) as stop:
        call.say(f"watching {source or lake.settings.source_location} every {every}; Ctrl-C ends it")
        while not stop.is_set():
            _run_once(call, lake, source)
            stop.wait(pause.total_seconds())


def _run_once(call: Call, lake: Any, source: str | None) -> None:
    """Run; what another writer or a moment's failure has stopped, the next run does."""
    from eventmint.lake import report_to_dict
    from eventmint.serve.documents import quarantine_complaint

    try:
        report = report_to_dict(lake.run(source))
    except TryAgain as err:
        tell_error(err, call.wants_json)
        return
    if not report["changed"]:
        return
    if call.wants_json:
        write_out([json.dumps(report, default=str), "\n"])
    else:
        write_out([_line(report), "\n"])
    for path, reason in report["set_aside"].items():
        call.say(plain(f"set aside: {path}: {reason}"))
    if complaint := quarantine_complaint(report, lake.settings.quality.max_quarantine):
        call.say(complaint)


def _line(report: dict[str, Any]) -> str:
    took = report["totals"]
    return (
        f"{report['started_at'][:19]}  {counted(report['files_landed'], 'file')}, "
        f"{counted(took['lines'], 'line')}: "
        f"{took['events']:+,} events, {counted(took['duplicates'], 'duplicate')}, "
        f"{took['quarantined']:,} quarantined, {report['seconds']:.1f} s"
    )


@contextmanager
def _told_to_stop(call: Call) -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set; the second Ctrl-C interrupts."""
    stop = Event()

    def note(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        call.say("stopping when this run has ended; Ctrl-C again stops at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
