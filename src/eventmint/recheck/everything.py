"""The recheck from end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from eventmint import audit, laws
from eventmint.contracts import ANSWERS, all_contracts
from eventmint.errors import FixData
from eventmint.pipeline import Run, is_retention_cut_off
from eventmint.recheck.files import Reader, TableFiles, laws_of_files, tables_of
from eventmint.recheck.ledger import laws_of_bronze, ledger_of
from eventmint.recheck.runs import laws_of_runs
from eventmint.recheck.values import laws_of_values
from eventmint.tables.plan import seq_of
from eventmint.values import Law


def recheck(run: Run, require_nothing_cut_off: Callable[[], None]) -> tuple[Law, ...]:
    """Prove the lake again from its files; the run's ledger is read here, and nothing is written.

    Args: require_nothing_cut_off: asked where the metadata of every table can be read; may refuse to go on.
    """
    found = list(_laws(run, require_nothing_cut_off))
    if all(law.holds for law in found) and _is_complete(run):
        found += audit.laws_of_everything(run)
    return tuple(found)


def _laws(run: Run, require_nothing_cut_off: Callable[[], None]) -> Iterator[Law]:
    tables: dict[str, TableFiles] = {}
    yield from tables_of(run.catalog, tables)
    if len(tables) == len(all_contracts()):
        require_nothing_cut_off()
    with closing(Reader(run.engine, run.scratch)) as reader:
        yield from laws_of_files(tables, reader)
    if "ops.runs" in tables:
        yield from laws_of_runs(tables["ops.runs"])
    if not {"bronze.events", "bronze.ingested_files"} <= tables.keys():
        return  # named already, and without bronze nothing can be made again
    bronze = tables["bronze.events"]
    run.ledger, about_ledger = ledger_of(tables["bronze.ingested_files"], bronze)
    if is_retention_cut_off(run.catalog, run.ledger):
        raise FixData(
            f"{run.catalog.location}: a retention was cut off.", "Run `eventmint run`: it finishes it."
        )
    yield from about_ledger
    yield from laws.laws_of_files(run.ledger.entries)
    with run.engine.session(run.scratch) as session:
        yield from laws_of_bronze(session, bronze, run.ledger)
        yield from laws_of_values(run, session, tables)


def _is_complete(run: Run) -> bool:
    """Whether no stage is behind another: only then do the sums of one table speak of those of the next."""
    names = (
        "bronze.events",
        "bronze.ingested_files",
        "silver.events_cleaned",
        "silver.event_hours",
        *(f"gold.{answer}" for answer in ANSWERS),
    )
    return len({seq_of(run.open(name)[0]) for name in names}) == 1
