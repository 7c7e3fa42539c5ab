"""The steps of build_pipeline.ipynb: a place to work in, the pipeline run there, its answers, the proof.

Three targets take the same steps. `local` is a folder. `emulator` is AWS as far as moto's server has it: what
it fakes or skips is never counted as done, so the job's own body runs here and DuckDB answers. `aws` is an
account: the plan is shown, and nothing is made without consent. Each step may be taken again at any time.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from eventmint.aws.names import Names
from eventmint.aws.target import names_of, settings_on_aws
from eventmint.config import CONFIG_FILE, Settings, load_settings
from eventmint.contracts import ANSWERS, contract
from eventmint.errors import FixData, FixSettings, TryAgain
from eventmint.lake import Lake
from eventmint.serve.documents import books
from eventmint.serve.html_table import HtmlTable
from eventmint.serve.screens import laws_sentence

if TYPE_CHECKING:
    from eventmint.aws.emulator import Emulator
    from eventmint.aws.stack import Plan

TARGETS = ("local", "emulator", "aws")
TEMPLATE, SAMPLE = Path("capstone-starter.cfn.yaml"), Path("sample-data")
EMULATED_ID = "notebook"
DAYS_ASKED = 7  # of Athena: a month of products is more than a page should hold

Say = Callable[[str], None]
# Per table: its rows, and the snapshot that holds them.
State = Mapping[str, tuple[int, int | None]]


@dataclass(frozen=True)
class Place:
    """Where the steps are taken.

    Attributes:
        folder: of this target alone; its eventmint.toml makes the command line see the same lake.
    """

    target: str
    folder: Path
    emulator: Emulator | None = None

    @cached_property
    def settings(self) -> Settings:
        """The folder's own, and nothing from the environment: that is about somebody's real data."""
        return settings_on_aws(load_settings(self.folder / CONFIG_FILE))

    @cached_property
    def names(self) -> Names:
        return names_of(self.settings)

    @property
    def region(self) -> str:
        return self.settings.aws.region

    def lake(self) -> Lake:
        return Lake(self.settings)


# ---- prepare -----------------------------------------------------------------------------------------------


def prepare(target: str, folder: Path, *, engine: str, confirm: bool, say: Say) -> Place:
    """Return a place with everything that a run needs, events included.

    Args:
        folder: where this machine keeps what the target needs.
        engine: `duckdb` or `spark`; on aws the job always runs on Spark.
        confirm: consent to what is made or changed in an account of AWS, where it may cost money.
    Raises: FixSettings, FixData, TryAgain: what to do is in the hint.
    """
    if target not in TARGETS:
        raise FixSettings(f"`{target}` is no target.", f"EVENTMINT_TARGET is one of {', '.join(TARGETS)}.")
    home = folder.absolute() / target
    home.mkdir(parents=True, exist_ok=True)
    if target == "local":
        events = _sample_data(home, say)
        _write_config(home, {"source.path": str(events), "run.engine": engine})
        say(f"lake       {home / 'lake'}")
        return Place(target, home)
    given = load_settings(home=home, environment=_about_aws()).aws
    flags = {"run.target": "aws", "run.engine": engine, "aws.region": given.region}
    if target == "aws":
        _write_config(home, flags | {"aws.id": given.id, "aws.account": given.account, "lake.database": ""})
        place = Place(target, home)
        _deploy(place, lambda: confirm, say)
        _require_events(place, say)
        return place
    _write_config(home, flags | {"aws.id": EMULATED_ID})
    place = Place(target, home, _start_emulator(home, given.region, say))
    _deploy(place, lambda: True, say)
    _put_events(place, _sample_data(home, say), say)
    return place


def _about_aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("EVENTMINT_AWS__")}


def _write_config(home: Path, values: Mapping[str, str]) -> None:
    sections: dict[str, list[str]] = defaultdict(list)
    for dotted, value in values.items():
        section, key = dotted.split(".")
        sections[section].append(f"{key} = {json.dumps(value)}\n")
    text = "# Written by build_pipeline.ipynb on every run of its first step.\n"
    text += "".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items())
    (home / CONFIG_FILE).write_text(text, encoding="utf-8")


def _sample_data(home: Path, say: Say) -> Path:
    """Return the folder of events: the clone's sample, else one of its kind, generated once."""
    if (SAMPLE / "events").is_dir():
        say(f"events     {SAMPLE}, two hours of a made-up shop")
        return SAMPLE.absolute()
    made = home / "data"
    if not (made / "truth.json").exists():
        from eventmint.sources.sample import SampleSettings, generate

        generate(SampleSettings(output_dir=made, bad_rate=0.0014, truth=made / "truth.json", workers=1))
    say(f"events     {made}, generated")
    return made


def _start_emulator(home: Path, region: str, say: Say) -> Emulator:
    from eventmint.aws import emulator
    from eventmint.storage import s3

    # What was seen of an earlier emulator is gone with it: clients, downloads, the published answers.
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    for file in home.glob("analytics.duckdb*"):
        file.unlink()
    started = emulator.start(region)
    say(f"emulator   {started.endpoint}, in memory, ends with this notebook")
    return started


def _deploy(place: Place, may: Callable[[], bool], say: Say) -> None:
    from eventmint.aws.deploy import deploy
    from eventmint.aws.stack import Stack

    if not TEMPLATE.is_file():
        raise FixSettings(f"{TEMPLATE}: not here.", "Start the notebook in the top folder of the clone.")

    def consent(plan: Plan) -> bool:
        for action, kinds in _by_kind(plan).items():
            say(f"plan       {action}: {kinds}")
        return may()

    # A notebook must not leave behind what goes on costing: the clock is for who asks for it. A stack that is
    # there keeps its clock.
    is_new = Stack(place.names.stack, place.region).kind_of_change() == "CREATE"
    parameters = {"Schedule": "DISABLED"} if is_new and place.target == "aws" else {}
    text = TEMPLATE.read_text(encoding="utf-8")
    done = deploy(place.names, place.region, text, parameters, consent=consent, say=say)
    if not done.is_done:
        raise FixSettings(
            "Nothing was changed: the plan above needs consent.", "Set `confirm = True` in the first cell."
        )
    for kind, count in Counter(verdict.type for verdict in done.verdicts if verdict.holds).items():
        say(f"asserted   {count:>3} x {kind}")
    missing = [
        f"{verdict.type} {verdict.name} {verdict.note}".strip()
        for verdict in done.verdicts
        if not verdict.holds
    ]
    if missing:
        raise FixData(f"Not as they must be: {'; '.join(missing)}.", "Take this step again.")


def _by_kind(plan: Plan) -> dict[str, str]:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for change in plan.changes:
        counted[change.action][change.type] += 1
    return {
        action: ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())
        for action, kinds in counted.items()
    }


def _put_events(place: Place, folder: Path, say: Say) -> None:
    from eventmint.storage.session import client, telling

    bucket, files = place.names.source_bucket, sorted(folder.rglob("*.jsonl.gz"))
    s3 = client("s3", place.region)
    for file in files:
        with telling():
            s3.upload_file(str(file), bucket, file.relative_to(folder).as_posix())
    say(f"events     {len(files)} files put into s3://{bucket}/events/")


def _require_events(place: Place, say: Say) -> None:
    from eventmint.aws.start import generate_events
    from eventmint.aws.status import newest_object

    newest = newest_object(place.names, place.region)
    if newest is None:
        generate_events(place.names, place.region)
        newest = newest_object(place.names, place.region)
    if newest is None:
        raise FixData(f"{place.names.source} holds no events.", f"Call {place.names.generator} by hand.")
    say(f"events     newest file: {newest['path']}")


# ---- run ---------------------------------------------------------------------------------------------------


def run(place: Place, say: Say) -> bool:
    """Run the pipeline once; return whether any table changed.

    Raises: FixData: the run failed, there are no events, or the laws do not hold.
    """
    before, started = state(place), time.perf_counter()
    if place.target == "local":
        place.lake().run()
    elif place.target == "emulator":
        _run_job_here(place)
    else:
        from eventmint.aws.start import run_job

        run_job(place.names, place.region, say)
    seconds, lake = time.perf_counter() - started, place.lake()
    record = lake.last_run()
    if record is None:
        raise FixData(
            f"{lake.settings.source_location}: no events to take in.", "Take the step before again."
        )
    if not record["laws_hold"]:
        raise FixData(f"{lake.settings.lake_location}: the laws do not hold.", "See `eventmint verify`.")
    ledger = lake.ledger()
    changed = state(place) != before
    say(f"run        {'tables changed' if changed else 'nothing is new'}, {seconds:.1f} s")
    say(f"laws       {laws_sentence(books(lake.totals(), ledger.entries, ledger.live_contents()))}")
    return changed


def _run_job_here(place: Place) -> None:
    """Run the very body of the Glue job, with the arguments of the deployed job: the emulator runs nothing.

    Then the lake as this machine sees it, which must find nothing left to do and publishes the answers.
    """
    from eventmint import glue_job

    for name in ("botocore", "urllib3"):  # the job logs for CloudWatch, where nobody reads along
        logging.getLogger(name).setLevel(logging.ERROR)
    if glue_job.main(job_arguments(place)):
        raise FixData(f"{place.names.job} failed.", "What it said is above.")
    if place.lake().run().changed:
        raise FixData(f"{place.names.job} left something undone.", "Take this step again.")


def job_arguments(place: Place) -> list[str]:
    """Return the arguments that Glue would start the job with, but for the engine: that is this place's."""
    from eventmint.storage.session import client, telling

    with telling():
        job = client("glue", place.region).get_job(JobName=place.names.job)["Job"]
    values = {**job["DefaultArguments"], "--JOB_NAME": job["Name"], "--engine": place.settings.run.engine}
    return [word for pair in values.items() for word in pair]


def state(place: Place) -> State:
    """Return rows and snapshot of every table, its books included; nothing where there is no lake yet."""
    lake = place.lake()
    try:
        snapshots = lake.snapshots()
        return {size.table: (size.rows, snapshots[size.table]) for size in lake.sizes()}
    except FixData:
        return {}


def prove_idle(place: Place, say: Say) -> State:
    """Run once more and prove that it changes nothing: the same rows in the same snapshots of every table.

    Raises: FixData: a table changed. TryAgain: new files came in between, as they do on AWS.
    """
    before = state(place)
    run(place, say)
    after = state(place)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if "bronze.ingested_files" in changed:
        raise TryAgain("New files arrived between the two runs.", "Take this step again.")
    if changed or not after:
        raise FixData(f"A second run changed {', '.join(changed) or 'nothing, for there is nothing'}.")
    for name, (rows, snapshot) in after.items():
        say(f"unchanged  {name:<28}{rows:>12,} rows  snapshot {snapshot}")
    return after


# ---- ask ---------------------------------------------------------------------------------------------------


def answers(place: Place, say: Say) -> dict[str, pa.Table]:
    """Return the five answers by name; on aws those of the newest days, from Athena.

    Raises: FixData: one of them is empty, which is no answer.
    """
    found = {}
    for name in ANSWERS:
        rows = _ask_athena(place, name, say) if place.target == "aws" else place.lake().answer(name)
        if not rows.num_rows:
            raise FixData(f"{name} has no rows.", "Take the step before this one again.")
        found[name] = rows
        say(f"{name:<22}{rows.num_rows:>8,} rows")
    return found


def _ask_athena(place: Place, name: str, say: Say) -> pa.Table:
    from eventmint.aws.athena import query

    columns = contract(f"gold.{name}").column_names
    answer = query(
        place.names,
        place.region,
        f"SELECT {', '.join(columns)} FROM gold.{name} "  # noqa: S608 - names of contracts
        "WHERE event_date > "
        f"(SELECT MAX(event_date) FROM gold.user_activity) - INTERVAL '{DAYS_ASKED}' DAY "
        f"ORDER BY {columns[0]}, {columns[1]}",
    )
    say(f"athena     {answer.bytes_scanned:,} bytes scanned, ${answer.dollars:f}, {answer.seconds:.1f} s")
    return answer.rows


def table(rows: pa.Table, by: str = "") -> HtmlTable:
    """Return the first rows for display; with `by` those with most of a column."""
    return HtmlTable(rows.sort_by([(by, "descending")]) if by else rows)


# ---- cost, end ---------------------------------------------------------------------------------------------


def command(place: Place, *words: str, say: Say) -> None:
    """Tell what a command of eventmint prints about this place.

    Raises: FixData: it failed; its own words are in the message.
    """
    # A kernel asks for colours, which would be letters here.
    environment = {n: v for n, v in os.environ.items() if n != "FORCE_COLOR" and not _is_setting(n)}
    program = [sys.executable, "-m", "eventmint.cli", "-C", str(place.folder), *words]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise FixData(f"`eventmint {' '.join(words)}` failed: {done.stderr.strip()}")
    say(done.stdout.rstrip())


def _is_setting(name: str) -> bool:
    return name.startswith("EVENTMINT_") and "__" in name


def finish(place: Place, say: Say) -> None:
    """End what was started on this machine; on aws nothing is removed, and it says how to."""
    here = f"eventmint -C {shlex.quote(os.path.relpath(place.folder))}"
    if place.emulator is not None:
        place.emulator.stop()
        say("emulator   stopped; what it kept is gone")
        return
    if place.target == "aws":
        say(f"watch      {here} aws status")
        say(f"schedule   {here} deploy --schedule    events every five minutes, the job every hour")
        say(f"remove     {here} destroy              keeps events and tables")
        return
    say(f"ask        {here} show")
    say(f"           {here} query 'SELECT * FROM top_products'")  # noqa: S608 - shown, not run
