"""What several commands need: kinds of arguments, a run as all make it, the answers as all tell them.

Heavy modules are imported inside the functions: `--help` needs none of them.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from eventmint.cli.frame import Call
from eventmint.errors import EventmintError, FixSettings
from eventmint.serve.streams import plain, tell_error, write_error
from eventmint.storage import is_s3

if TYPE_CHECKING:
    from eventmint.config import Settings
    from eventmint.lake import Lake
    from eventmint.run_log import Progress
    from eventmint.run_plan import RunPlan
    from eventmint.serve.answers import State
    from eventmint.serve.summary import Period
    from eventmint.serve.terminal import Page

# As in contracts.ANSWERS, which is slow to import.
ANSWERS = ("conversion_funnel", "hourly_revenue", "top_products", "category_performance", "user_activity")
SET_ASIDE_SHOWN = 5
_CURES = {"not_gzip": "; pack it with `gzip`"}
Made = TypeVar("Made")


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


class Day(click.DateTime):
    """A day as 2026-01-15; what is none is answered with one, not with a pattern."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no day; write it as 2026-01-15.", param, ctx)


class SourcePlace(click.Path):
    """A folder or file that exists, or an address in S3."""

    def __init__(self) -> None:
        super().__init__(exists=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        return value if is_s3(os.fspath(value)) else super().convert(value, param, ctx)


def run_pipeline(
    call: Call, settings: Settings, source: str | None, plan: RunPlan | None = None
) -> dict[str, Any]:
    """Run the pipeline, or do what was planned, tell what it left out; return the report as plain data."""
    from eventmint.lake import Lake, report_to_dict
    from eventmint.serve.terminal import watching

    with watching(sys.stderr, call.is_silent) as progress:
        lake = Lake(settings, progress)
        report = lake.run_planned(plan) if plan else lake.run(source)
    for path, reason in list(report.set_aside.items())[:SET_ASIDE_SHOWN]:
        call.say(plain(f"set aside: {path}: {reason}{_CURES.get(reason, '')}"))
    if len(report.set_aside) > SET_ASIDE_SHOWN:
        call.say(
            f"set aside: {len(report.set_aside):,} files in all, see `eventmint files --status set_aside`"
        )
    for path, reason in report.skipped.items():
        call.say(plain(f"skipped: {path}: {reason}"))
    if report.files_unsettled:
        call.say(f"{report.files_unsettled:,} files are still being written: run again for them")
    return {**report_to_dict(report), "lake": books_of(lake)}


def books_of(lake: Lake) -> dict[str, int]:
    from eventmint.serve.documents import books

    ledger = lake.ledger()
    return books(lake.totals(), ledger.entries, ledger.live_contents())


def exit_code(call: Call, settings: Settings, report: Mapping[str, Any]) -> int:
    """Return 0, or 3 with a word on the reasons where too many lines were set aside."""
    from eventmint.serve.documents import quarantine_complaint

    complaint = quarantine_complaint(report, settings.quality.max_quarantine)
    if complaint is None:
        return 0
    error = QuarantineAboveLimit(complaint, "The run is done and published; see `eventmint quarantine`.")
    tell_error(error, call.wants_json)
    return error.exit_code


def rows_of_answers(lake: Lake | State, names: Iterable[str], period: Period) -> dict[str, Any]:
    from eventmint.serve.formats import json_rows

    return {name: json_rows(lake.answer(name, start=period.start, end=period.end)) for name in names}


def summaries(lake: Lake | State, names: Iterable[str], period: Period) -> dict[str, Any]:
    from eventmint.serve.formats import json_rows
    from eventmint.serve.summary import days_sql, summary_sql

    (days,) = json_rows(lake.sql(days_sql(period)))
    return {
        "period": {**days, "is_all": not (period.start or period.end)},
        "summaries": {name: json_rows(lake.sql(summary_sql(name, period))) for name in names},
    }


@dataclass(frozen=True)
class Change(Generic[Made]):
    """What changes history: its plan, how it is done, and how both are shown.

    Attributes:
        as_dict: the plan, or what was done, as plain data; what `draw` draws.
        asks: whether a plan is worth a question.
    """

    plan: Callable[[], Made]
    do: Callable[[Progress], Made]
    as_dict: Callable[[Made], Mapping[str, Any]]
    draw: Callable[[Page, Mapping[str, Any]], None]
    asks: Callable[[Made], object] = attrgetter("changed")
    question: str = "Do this?"


def carried_out(call: Call, change: Change[Made], *, dry_run: bool, yes: bool) -> Made | None:
    """Show the plan, ask, and do it; None where the answer was no. A dry run returns the plan.

    It is done also where nothing is to be done: it may be that an earlier one was cut off.
    Raises: FixSettings: there is nobody to ask.
    """
    from eventmint.serve.terminal import watching

    if dry_run:
        return change.plan()
    if not (yes and call.is_silent):
        planned = change.plan()
        shown = change.as_dict(planned)
        if change.asks(planned) and not agreed(
            call, yes, change.question, lambda page: change.draw(page, shown)
        ):
            call.say("nothing was changed")
            return None
    with watching(sys.stderr, call.is_silent) as progress:
        return change.do(progress)


def agreed(call: Call, yes: bool, question: str, draw: Callable[[Page], None]) -> bool:
    """Show what would be done on stderr; ask, unless the answer was given.

    Raises: FixSettings: there is nobody to ask.
    """
    from eventmint.serve.terminal import Page

    if not call.is_silent:
        page = Page(sys.stderr)
        draw(page)
        write_error(page.text().rstrip())
    if yes:
        return True
    if call.is_silent or not sys.stdin.isatty():
        raise FixSettings("Nothing was changed: nobody can be asked.", "Give --yes, or look with --dry-run.")
    return click.confirm(question, err=True)
