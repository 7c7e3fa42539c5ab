"""The Glue job: arguments become Settings, then one run of the Lake, then metrics.

Started by Glue, by `spark-submit` or by Python. Glue adds arguments of its own, so unknown ones are left
alone. `awsglue` exists on Glue only and does two things here: it begins and ends the job, which saves the
bookmark, and it tells which files are new by that bookmark. That list only spares a listing: what was taken
in is what the ledger says, and every few runs the whole source is listed. A bookmark that was reset, rewound
or is wrong costs time, never data.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventmint.values import LAYERS

if TYPE_CHECKING:
    from eventmint.lake import Lake

log = logging.getLogger("eventmint.glue_job")

# Below the lake's root: how many runs there were since the source was listed in full.
LISTING_MARK = ".runs-since-full-listing"
CONTEXT = "events"  # the bookmark's name for the source: renaming it would start it anew


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once; return 0, or 1 after an error that was told in one line."""
    from eventmint.aws.metrics import metrics_of_failure
    from eventmint.errors import EventmintError, LawBroken

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for chatty in ("botocore", "pyiceberg", "py4j"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    options = parser().parse_known_args(arguments)[0]
    os.environ.setdefault("AWS_REGION", options.region)
    try:
        with glue(options) as bookmark:
            run(options, bookmark)
    except EventmintError as err:
        log.error("error: %s", err)  # noqa: TRY400 - one line says what, where and what to do
        _put_metrics(options, metrics_of_failure(breaks_law=isinstance(err, LawBroken)))
        return err.exit_code
    except Exception:
        _put_metrics(options, metrics_of_failure(breaks_law=False))
        raise
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="glue_job", allow_abbrev=False)
    options.add_argument("--source", required=True, help="s3://bucket/prefix of the events")
    options.add_argument("--lake", required=True, help="s3://bucket/prefix of the tables")
    options.add_argument("--deployment-id", required=True, help="names the databases: bronze_<id> ...")
    options.add_argument("--region", default="us-west-2")
    options.add_argument("--format", help="what the files hold: source.format, one that comes with eventmint")
    options.add_argument("--pattern", help="which files: source.pattern")
    options.add_argument("--engine", default="spark", choices=["spark", "duckdb"])
    options.add_argument("--full-listing-every", type=int, default=12, metavar="N", help="runs")
    options.add_argument("--max-quarantine", type=float, default=0.01, metavar="SHARE")
    options.add_argument("--privacy-key-file", help="s3://bucket/key: privacy.key_file")
    for layer in LAYERS:
        options.add_argument(f"--{layer}-days", type=int, metavar="N", help=f"retention.{layer}_days")
    options.add_argument("--report", choices=["true", "false"], default="false", help="publish report.html")
    options.add_argument("--JOB_NAME", dest="job_name", default="")
    options.add_argument("--job-bookmark-option", dest="bookmark", default="job-bookmark-disable")
    return options


def run(options: argparse.Namespace, bookmark: Bookmark) -> None:
    """Take in what is new, in S3 and the Glue catalog; say what was done in the log and in metrics."""
    from eventmint.aws.metrics import metrics_of_run
    from eventmint.aws.published import DATABASE
    from eventmint.config import load_settings
    from eventmint.errors import LawBroken
    from eventmint.lake import Lake
    from eventmint.serve.documents import books, quarantine_complaint
    from eventmint.serve.screens import laws_sentence

    wants_report = options.report == "true"
    flags = {
        "source.path": options.source,
        "source.format": options.format,
        "source.pattern": options.pattern,
        "lake.root": options.lake,
        "lake.database": DATABASE if wants_report else "",  # Athena answers here
        "run.engine": options.engine,
        "quality.max_quarantine": options.max_quarantine,
        "privacy.key_file": options.privacy_key_file,
        **{f"retention.{layer}_days": getattr(options, f"{layer}_days") for layer in LAYERS},
        "aws.id": options.deployment_id,
        "aws.region": options.region,
    }
    with tempfile.TemporaryDirectory() as home:
        lake = Lake(load_settings(home=Path(home), flags=flags))
        only = _files_to_look_at(options, bookmark, lake)
        if wants_report:
            _fetch_database(options.lake, Path(home))
        try:
            report = lake.run(only=only)
        except LawBroken:
            if wants_report:  # the figures of before, and that they are
                _publish_report(lake, options.lake, Path(home))
            raise
        if wants_report and report.changed:
            _publish_report(lake, options.lake, Path(home))
        _note_listing(options, is_full=only is None)
        ledger = lake.ledger()
    log.info("%s", laws_sentence(books(report.lake, ledger.entries, ledger.live_contents())))
    complaint = quarantine_complaint(
        {"totals": vars(report.totals), "quarantined_by_reason": report.quarantined_by_reason},
        options.max_quarantine,
    )
    if complaint:
        log.warning("%s", complaint)
    _put_metrics(options, metrics_of_run(report, ledger.newest_event, datetime.now(UTC)))


def _fetch_database(root: str, folder: Path) -> None:
    from eventmint.aws.published import fetch_database
    from eventmint.errors import EventmintError

    try:
        fetch_database(root, folder)
    except EventmintError as err:
        log.warning("the published file cannot be fetched, it is made anew: %s", err)


def _publish_report(lake: Lake, root: str, folder: Path) -> None:
    from eventmint.aws.published import REPORT, put_report
    from eventmint.errors import EventmintError

    try:
        lake.report(folder / REPORT)
        log.info("report=%s", put_report(root, folder))
    except EventmintError as err:
        log.warning("the report was not published: %s", err)  # the tables are


# ---- which files -------------------------------------------------------------------------------------------


class Bookmark:
    """What Glue's job bookmark says is new.

    Args: context: the GlueContext; None where there is no Glue, or the bookmark is off.
    """

    def __init__(self, context: Any = None) -> None:
        self._context = context

    def new_files(self, source: str) -> set[str] | None:
        """Return the addresses that the bookmark calls new; None where it says nothing."""
        if self._context is None:
            return None
        try:
            # The only reader that the bookmark filters is Glue's own. It reads the new files once; of the
            # lines nothing is kept but the name of the file they come from.
            frame = self._context.create_dynamic_frame.from_options(
                connection_type="s3",
                connection_options={"paths": [source], "recurse": True, "groupFiles": "none"},
                format="csv",
                format_options={"withHeader": False, "separator": "\x01", "attachFilename": "file_name"},
                transformation_ctx=CONTEXT,
            )
            names = frame.select_fields(["file_name"]).toDF()
            rows = names.distinct().collect() if "file_name" in names.columns else []
        except Exception as err:  # noqa: BLE001 - whatever it is: a filter that fails must not stop the run
            log.warning("the bookmark could not be read, the source is listed instead: %s", err)
            return None
        return {row["file_name"] for row in rows}


def _files_to_look_at(options: argparse.Namespace, bookmark: Bookmark, lake: Lake) -> Collection[str] | None:
    """The files that the bookmark names; None, for a full listing, every few runs and whenever in doubt."""
    named = bookmark.new_files(options.source)  # also when it is not used: so the bookmark moves on
    runs = _runs_since_full_listing(options)
    # The bookmark does not know that files which were rolled back are new again.
    if named is None or runs is None or runs + 1 >= options.full_listing_every or lake.was_rolled_back():
        log.info("listing=full")
        return None
    log.info("listing=bookmark files=%d runs_since_full_listing=%d", len(named), runs + 1)
    return named


def _runs_since_full_listing(options: argparse.Namespace) -> int | None:
    from eventmint.storage import s3

    text = s3.read_text(_listing_mark(options))
    return int(text) if text is not None and text.isdecimal() else None


def _note_listing(options: argparse.Namespace, *, is_full: bool) -> None:
    from eventmint.storage import s3

    runs = 0 if is_full else (_runs_since_full_listing(options) or 0) + 1
    s3.write_text(_listing_mark(options), str(runs))


def _listing_mark(options: argparse.Namespace) -> str:
    return f"{options.lake.rstrip('/')}/{LISTING_MARK}"


# ---- Glue --------------------------------------------------------------------------------------------------


@contextmanager
def glue(options: argparse.Namespace) -> Iterator[Bookmark]:
    """Begin the Glue job and, when all went well, commit it, which saves the bookmark."""
    try:
        from awsglue.context import GlueContext
        from awsglue.job import Job
    except ModuleNotFoundError:
        yield Bookmark()
        return
    from eventmint.engine.spark_engine import spark_context

    context = GlueContext(spark_context())
    job = Job(context)
    job.init(options.job_name, vars(options))
    yield Bookmark(context if options.bookmark == "job-bookmark-enable" else None)
    job.commit()


def _put_metrics(options: argparse.Namespace, values: dict[str, float]) -> None:
    from eventmint.aws.metrics import put_metrics
    from eventmint.errors import EventmintError

    try:
        put_metrics(options.deployment_id, options.region, values)
    except EventmintError as err:
        log.warning("metrics were not sent: %s", err)  # what was published is published


if __name__ == "__main__" and (code := main()):
    sys.exit(code)
