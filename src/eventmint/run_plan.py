"""Plans of runs: what a run would do, what that rests on, and whether it still does.

A plan is made by playing the run in a shadow of the lake (`lake.plan`), so that it is the record of that run
before there is one (ADR 0021). Here it is put together, written to a file, read again and held to what is
there now.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from eventmint.bronze.ledger import Ledger
from eventmint.config import Settings, SourceSettings, shown_value
from eventmint.contract_changes import contract_document
from eventmint.contracts import MODEL_FILES, SUPPRESSED, contract, model_sql
from eventmint.errors import FixSettings, StalePlan
from eventmint.pipeline import MODELLED, Run, batches, ledger_of
from eventmint.sources.discover import Listing, list_source
from eventmint.storage import is_s3
from eventmint.storage.local import write_whole
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.plan import seq_of
from eventmint.values import LedgerEntry, RunReport, SourceFile

FORMAT = 1
VERSION = str(import_module("eventmint").__version__)
# What of a record a plan cannot know, or need not repeat.
_OF_THE_RUN_ALONE = ("run_id", "started_at", "seconds")
# What a plan promises of the record, beside what is written.
_PROMISED = (
    *("files_landed", "files_same_content", "files_set_aside", "files_replaced", "lines_replayed"),
    *("restated", "totals", "quarantined_by_reason", "days", "hours"),
)
# So much may the bytes that a run writes differ from its plan: they depend on which thread was faster.
BYTES_OFF = Decimal("0.1")
# The settings that decide what a run writes.
_DECIDING = (
    "source.pattern",
    "source.format",
    "contract.event_types",
    "contract.optional",
    "contract.max_line_bytes",
    "quality.dedup",
    "run.engine",
    "run.batch_mb",
)
_HINT = "Make one with `eventmint plan --out FILE`."


@dataclass(frozen=True)
class Basis:
    """What a plan rests on.

    Attributes:
        version, models: of eventmint; a digest of the tables' contracts and SQL.
        settings: those that decide what a run does, as text.
        tables: of each table of the lake its batch and its newest snapshot; none where there is no lake yet.
    """

    version: str
    models: str
    settings: dict[str, str]
    tables: dict[str, tuple[int, int | None]]


@dataclass(frozen=True)
class PlannedFile:
    """One new file of the source and what the run makes of it.

    Attributes:
        file: as the listing shows it.
        outcome: `landed`, `same_content`, `set_aside` or `not_read`.
        reason: why it is set aside or not read.
        lines: how many it has, good and bad.
        replaces: whether it takes the place of an earlier version of the same path.
    """

    file: SourceFile
    outcome: str
    reason: str | None = None
    lines: int = 0
    replaces: bool = False


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    Attributes:
        source: where it looks for files: an absolute path or an `s3://` address.
        made_at: UTC; the run judges lines by this time.
        files: those it takes in, in their order.
        expected: the record of the run (`RunReport`) as plain data, without its name, start and duration.
        unknown_fields: lines that have each field that the contract does not know.
        drift: by table the columns that it gets; none for a table that is made.
        behind: tables that an earlier run had left behind.
        maintenance: what `maintain` would do, where it is due after this run.
        cost: what the run costs on AWS by list prices, by line.
        basis: what the plan rests on: the run is refused where any of it is another one.
        recovered: path and version of files that the run finds in bronze and notes in the ledger again.
        seconds: that planning took.
    """

    source: str
    made_at: datetime
    files: tuple[PlannedFile, ...]
    expected: dict[str, Any]
    unknown_fields: dict[str, int]
    drift: dict[str, tuple[str, ...]]
    behind: tuple[str, ...]
    maintenance: dict[str, Any] | None
    cost: tuple[dict[str, str], ...]
    basis: Basis
    recovered: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether the run would write anything."""
        return bool(self.expected["changed"] or self.drift)

    @property
    def dollars(self) -> Decimal:
        """What the run costs on AWS, all lines together."""
        return sum((Decimal(line["dollars"]) for line in self.cost), Decimal(0))


@dataclass(frozen=True)
class Rehearsal:
    """A run that was played.

    Attributes:
        files: that it took in.
        contents: the content that had counted for the path of each.
        known: path and version of the files that the ledger had.
    """

    run: Run
    report: RunReport
    files: tuple[SourceFile, ...]
    contents: Mapping[str, str | None]
    known: frozenset[tuple[str, str]]


# ---- making ------------------------------------------------------------------------------------------------


def basis_of(catalog: LakeCatalog, settings: Settings) -> Basis:
    """Return what a plan would rest on now."""
    return Basis(VERSION, _models(settings), _settings_of(catalog, settings), heads_of(catalog))


def heads_of(catalog: LakeCatalog) -> dict[str, tuple[int, int | None]]:
    """Return of each table its batch and its newest snapshot; nothing where there is no lake."""
    tables = catalog.tables().items()
    return {shape.table: (seq_of(table), table.metadata.current_snapshot_id) for shape, table in tables}


def behind(heads: Mapping[str, tuple[int, int | None]]) -> tuple[str, ...]:
    """Return the tables that do not include the last batch that any has; the list of forgotten people has
    only those that forgot somebody."""
    last = max((seq for seq, _ in heads.values()), default=0)
    return tuple(sorted(name for name, (seq, _) in heads.items() if seq < last and name != SUPPRESSED))


def noted_files(catalog: LakeCatalog) -> Ledger:
    """Return the ledger as it is noted, which a crash may have left behind bronze."""
    return ledger_of(catalog) if contract("bronze.ingested_files") in catalog.tables() else Ledger()


def planned_files(made: Rehearsal) -> tuple[PlannedFile, ...]:
    """Return what a run has made of its files."""
    entries = {(entry.path, entry.version): entry for entry in made.run.ledger.entries if entry.is_of_file}
    found = []
    for file in made.files:
        entry = entries.get((file.path, file.version))
        if entry is None:
            found.append(PlannedFile(file, "not_read", made.run.not_read.get(file.path)))
            continue
        old = made.contents[file.path]
        replaces = old is not None and entry.status != "set_aside" and entry.sha256 != old
        found.append(PlannedFile(file, entry.status, entry.reason, entry.lines, replaces))
    return tuple(found)


def unknown_fields(entries: Iterable[LedgerEntry]) -> dict[str, int]:
    """Return the lines of some files that have each field that the contract does not know."""
    counted: Counter[str] = Counter()
    for entry in entries:
        counted.update(json.loads(entry.unknown_fields or "{}"))
    return dict(sorted(counted.items()))


def cost_of(made: Rehearsal, batch_mb: int, seconds: float) -> tuple[dict[str, str], ...]:
    """Return what a run costs on AWS by list prices, by line."""
    from eventmint.aws.run_cost import run_cost  # slow to import

    wrote = made.report.wrote.values()
    lines = run_cost(
        seconds,
        batches=max(1, sum(1 for _ in batches(made.files, batch_mb << 20))),
        commits=made.run.commits,
        source_files=len(made.files),
        data_files=sum(table.files for table in wrote),
        new_bytes=max(0, sum(table.size_bytes - table.removed_bytes for table in wrote)),
    )
    return tuple(
        {**asdict(line), "quantity": format(line.quantity, "f"), "dollars": format(line.dollars, "f")}
        for line in lines
    )


def without_its_own(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of a run without what only that run can tell."""
    return {name: value for name, value in record.items() if name not in _OF_THE_RUN_ALONE}


def _models(settings: Settings) -> str:
    texts = [model_sql(table, dialect) for table in MODELLED for dialect in MODEL_FILES]
    text = json.dumps([contract_document(settings)["tables"], texts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _settings_of(catalog: LakeCatalog, settings: Settings) -> dict[str, str]:
    mapping = settings.mapping.declared if settings.mapping else ""
    return {
        "lake.root": catalog.location,
        **{name: json.dumps(shown_value(settings, name)) for name in _DECIDING},
        "the mapping of source.format": hashlib.sha256(mapping.encode()).hexdigest()[:12],
    }


# ---- is it still so ----------------------------------------------------------------------------------------


def require_basis(plan: RunPlan, now: Basis) -> None:
    """Raises: StalePlan: the lake, the configuration or the version is another than when it was made."""
    _refuse(plan, [*_differences(plan.basis, now)])


def require_files(plan: RunPlan, noted: Ledger, source: SourceSettings) -> Listing:
    """Return the files of a plan as they lie in its source now.

    Args: noted: the ledger as it is noted.
    Raises: StalePlan: one is gone or another, or one is new.
    """
    planned = {planned.file.path: planned.file.version for planned in plan.files}
    recovered = frozenset(plan.recovered)

    def is_known(path: str, version: str) -> bool:
        # What the plan takes in may be noted all the same: where a rollback was cut off, which the run ends.
        return path not in planned and (noted.knows(path, version) or (path, version) in recovered)

    if not is_s3(plan.source) and not Path(plan.source).exists():
        _refuse(plan, [f"{plan.source} is gone"])
    settle = source.settle_seconds
    listing = list_source(plan.source, source.pattern, is_known=is_known, settle_seconds=settle)
    there = {file.path: file.version for file in listing.files}
    found = [f"{path} is new" for path in there if path not in planned]
    for path, version in planned.items():
        if path not in there:
            found.append(f"{path} is gone, or being written")
        elif there[path] != version:
            found.append(f"{path} has changed")
    _refuse(plan, found)
    return listing


def _refuse(plan: RunPlan, found: Sequence[str]) -> None:
    if found:
        more = f"; and {len(found) - 1:,} more" if found[1:] else ""
        raise StalePlan(
            f"the plan of {plan.made_at:%Y-%m-%d %H:%M:%S} UTC is stale: {found[0]}{more}. Nothing was done.",
            "Plan again with `eventmint plan`.",
        )


def _differences(then: Basis, now: Basis) -> Iterator[str]:
    if then.version != now.version:
        yield f"eventmint is {now.version}, was {then.version}"
    elif then.models != now.models:
        yield "the contracts or the SQL of the tables are others"
    for name in sorted(then.settings.keys() | now.settings.keys()):
        before, after = then.settings.get(name, "not set"), now.settings.get(name, "not set")
        if before != after:
            yield f"{name} is {after}, was {before}"
    for name in sorted(then.tables.keys() | now.tables.keys()):
        (seq, snapshot), (seq_now, snapshot_now) = (
            one.get(name, (0, None)) for one in (then.tables, now.tables)
        )
        if seq != seq_now:
            yield f"{name} has batch {seq_now}, had {seq}"
        elif snapshot != snapshot_now:
            yield f"{name} has been written since"


def deviations(expected: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return in what the record of a run is not as planned: partitions exactly, bytes within 10 %."""
    found = [
        f"{name}: {record[name]}, planned {expected[name]}"
        for name in _PROMISED
        if expected[name] != record[name]
    ]
    none: dict[str, Any] = {"days": [], "size_bytes": 0}
    for table in sorted(expected["wrote"].keys() | record["wrote"].keys()):
        planned, wrote = expected["wrote"].get(table, none), record["wrote"].get(table, none)
        if planned["days"] != wrote["days"]:
            found.append(f"{table}: days {wrote['days']}, planned {planned['days']}")
        if abs(planned["size_bytes"] - wrote["size_bytes"]) > BYTES_OFF * planned["size_bytes"]:
            found.append(f"{table}: {wrote['size_bytes']:,} bytes, planned {planned['size_bytes']:,}")
    return found


# ---- files -------------------------------------------------------------------------------------------------


def plan_to_dict(plan: RunPlan) -> dict[str, Any]:
    """Return a plan as plain data for JSON."""
    body = asdict(plan)
    body["made_at"] = plan.made_at.isoformat()
    for planned in body["files"]:
        planned["file"]["received_at"] = planned["file"]["received_at"].isoformat()
    return {**body, "changed": plan.changed, "dollars": format(plan.dollars, "f")}


def write_plan(plan: RunPlan, file: Path) -> None:
    """Write a plan to a file, in one step. Raises: FixSettings: it cannot be written there."""
    body = plan_to_dict(plan)
    document = {"format": FORMAT, "sha256": _digest(body), "plan": body}
    write_whole(file, json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_plan(file: Path) -> RunPlan:
    """Return a plan that was written to a file. Raises: FixSettings: it is none, or not as it was written."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise FixSettings(f"{file}: a plan of format {document['format']}, expected {FORMAT}.", _HINT)
        if document["sha256"] != _digest(document["plan"]):
            raise FixSettings(f"{file}: is not as it was written: its digest is another.", _HINT)
        return _plan_of(document["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise FixSettings(f"{file}: holds no plan ({type(err).__name__}: {err}).", _HINT) from err


def _plan_of(body: dict[str, Any]) -> RunPlan:
    given = {item.name: body[item.name] for item in fields(RunPlan)}
    given["made_at"] = datetime.fromisoformat(body["made_at"])
    given["files"] = tuple(_file_of(planned) for planned in body["files"])
    given["drift"] = {table: tuple(columns) for table, columns in body["drift"].items()}
    given["behind"], given["cost"] = tuple(body["behind"]), tuple(body["cost"])
    given["recovered"] = tuple((path, version) for path, version in body["recovered"])
    tables = {name: (seq, snapshot) for name, (seq, snapshot) in body["basis"]["tables"].items()}
    given["basis"] = Basis(**{**body["basis"], "tables": tables})
    return RunPlan(**given)


def _file_of(planned: dict[str, Any]) -> PlannedFile:
    received_at = datetime.fromisoformat(planned["file"]["received_at"])
    return PlannedFile(**{**planned, "file": SourceFile(**{**planned["file"], "received_at": received_at})})


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
