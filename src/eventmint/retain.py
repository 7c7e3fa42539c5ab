"""Retain: what is too old goes out of every layer, each for its own time, a batch of its own.

The intent is an entry in the ledger for each layer, with what each content of bronze loses; then bronze is
written without these rows, and silver and gold drop whole days by their stages. A retention that is cut off
is finished by the next run. Of a day whose lines are gone nothing is made any more: it stays as it is, and
what comes for it is quarantined (ADR 0023).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from eventmint.bronze.expire import TooOld, find_too_old
from eventmint.bronze.ledger import Ledger, horizons_to_json
from eventmint.bronze.losses import Loss, entry_without, sum_by_content
from eventmint.bronze.rewrite import Removal, write_without
from eventmint.contracts import ANSWERS, all_contracts
from eventmint.errors import FixData, LawBroken
from eventmint.maintenance.merge import damaged_of
from eventmint.pipeline import (
    BLOCKS,
    RETAINED,
    Run,
    books_in,
    is_retention_cut_off,
    replan_on_conflict,
    retention_entries,
    take_in,
    write_ledger,
)
from eventmint.storage import forget_downloads, shrink_downloads
from eventmint.tables.catalog import LakeCatalog
from eventmint.tables.commit import Stamp
from eventmint.tables.maintain import keep_newest_alone
from eventmint.tables.plan import EPOCH, LiveFile, bytes_of, live_files, may_hold_values, seq_of
from eventmint.values import LAYERS, DayRange, LedgerEntry, RetainedLayer, Retention

# The tables that go by whole days. The building blocks of gold name people: they go with silver.
_BY_DAY = {
    "silver": ("silver.events_cleaned", *BLOCKS),
    "gold": tuple(f"gold.{answer}" for answer in ANSWERS),
}
Found = dict[LiveFile, dict[str, Loss]]


def plan_retention(run: Run, days: Mapping[str, int]) -> Retention:
    """Return what retention would remove now; nothing is written.

    Args: days: for how many days before that of the newest event a layer is kept, of each that is limited.
    """
    horizons = _horizons(run.ledger, days)
    return replace(_plan(run, horizons, *_look(run, horizons)), dry_run=True)


def retain(run: Run, days: Mapping[str, int]) -> Retention:
    """Remove what is too old from every layer, where anything is; nothing where a file is damaged.

    Args: days: as of `plan_retention`.
    """
    horizons = _horizons(run.ledger, days)
    found, damaged = _look(run, horizons)
    made = _plan(run, horizons, found, damaged)
    if not made.changed or made.damaged:
        return made
    seq = run.ledger.seq + 1
    stamp = Stamp(seq, _batch_of(seq, horizons))
    replan_on_conflict(run, partial(_note, run, stamp, horizons, sum_by_content(found.values())))
    finish_retention(run)
    take_in(run, [])
    return replace(made, seq=seq)


def finish_retention(run: Run) -> None:
    """Take out of bronze what the ledger says that retention has removed."""
    if is_retention_cut_off(run.catalog, run.ledger):
        replan_on_conflict(run, partial(_expire, run))


def purge(catalog: LakeCatalog) -> None:
    """Remove every state but the newest, and every file that is not of it."""
    for shape in all_contracts():  # the list of forgotten people has nothing that is too old
        keep_newest_alone(catalog.load(shape))
    forget_downloads()


# --- Looking ---------------------------------------------------------------------------------------------


def _horizons(ledger: Ledger, days: Mapping[str, int]) -> dict[str, date]:
    """The first day that each limited layer keeps. They never go back: what is gone is gone."""
    newest = ledger.newest_event
    if newest is None:
        return {}
    known = ledger.horizons
    wanted = {layer: newest.date() - timedelta(days=days[layer]) for layer in LAYERS if layer in days}
    return {layer: max(before, known.get(layer, before)) for layer, before in wanted.items()}


def _look(run: Run, horizons: Mapping[str, date]) -> tuple[Found, set[str]]:
    """Look for rows that are too old.

    Returns: what each file loses, so that what a content keeps is known in full; and locations of files that
        may hold such rows and are damaged: then nothing is to be removed, for what is written anew would be
        called sound.
    """
    candidates = _candidates(run, horizons)
    damaged = damaged_of(run, candidates)
    found = _losses(run, horizons, [file for file in candidates if file.location not in damaged])
    if damaged:
        return found, damaged
    losses = sum_by_content(found.values())
    if any(_lies_elsewhere(run.ledger, sha, loss) for sha, loss in losses.items()):
        others = (file for file in live_files(*run.open("bronze.events")) if file not in found)
        found |= _losses(run, horizons, [*others])
    return found, damaged


def _candidates(run: Run, horizons: Mapping[str, date]) -> list[LiveFile]:
    """The files of bronze that may hold rows which are too old, by their statistics."""
    bronze, events = run.open("bronze.events")
    held = live_files(bronze, events)
    found: set[LiveFile] = set()
    if before := horizons.get("bronze"):
        found.update(live_files(bronze, events, between=DayRange(end=before).instants))
    if before := horizons.get("quarantine"):
        old = (file for file in held if file.day and file.day < before)
        found.update(file for file in old if may_hold_values(file, events, "problem"))
    return [file for file in held if file in found]


def _lies_elsewhere(ledger: Ledger, content: str, loss: Loss) -> bool:
    """Whether another program has laid rows of a content into files that were not looked at.

    Raises: LawBroken: nothing is known of the content.
    """
    if not ledger.has_content(content):
        raise LawBroken(
            f"bronze.events: there are lines of {content} that the ledger does not know.",
            "Nothing was changed; see `eventmint verify --deep`.",
        )
    entry = ledger.entry_of(content)
    return entry.valid + entry.quarantined != loss.rows + loss.kept


def _losses(run: Run, horizons: Mapping[str, date], files: Sequence[LiveFile]) -> Found:
    tasks = [_too_old(file, horizons) for file in files]
    losses = [*run.engine.map(find_too_old, tasks, bytes_of(files))]
    shrink_downloads()
    return dict(zip(files, losses, strict=True))


def _too_old(file: LiveFile, horizons: Mapping[str, date]) -> TooOld:
    return TooOld(file.location, *(horizons.get(layer, EPOCH.date()) for layer in ("bronze", "quarantine")))


def _plan(run: Run, horizons: Mapping[str, date], found: Found, damaged: Iterable[str]) -> Retention:
    newest = run.ledger.newest_event
    layers = []
    for layer, before in horizons.items():
        if layer in _BY_DAY:
            layers.append(_days_of(run, layer, before))
            continue
        is_bronze = layer == "bronze"
        lost = {
            file: sum(
                (loss.days if is_bronze else loss.received for loss in losses.values()), Counter[date]()
            )
            for file, losses in found.items()
        }
        layers.append(_layer(layer, before, {file: days for file, days in lost.items() if days}))
    return Retention(
        newest_day=newest and newest.date(),
        layers=tuple(layers),
        damaged=tuple(sorted(damaged)),
    )


def _days_of(run: Run, layer: str, before: date) -> RetainedLayer:
    files = [file for name in _BY_DAY[layer] for file in live_files(*run.open(name))]
    return _layer(layer, before, {f: Counter({f.day: f.rows}) for f in files if f.day and f.day < before})


def _layer(layer: str, before: date, lost: Mapping[LiveFile, Counter[date]]) -> RetainedLayer:
    days = sum(lost.values(), Counter[date]())
    return RetainedLayer(layer, before, days.total(), len(lost), bytes_of(lost), dict(sorted(days.items())))


# --- Removing --------------------------------------------------------------------------------------------


def _note(run: Run, stamp: Stamp, horizons: Mapping[str, date], losses: Mapping[str, Loss]) -> None:
    table, shape = run.open("bronze.ingested_files")
    of_batch = {entry.path: entry for entry in retention_entries(horizons, stamp, run.now)}
    if "bronze" in of_batch:
        of_batch["bronze"] = replace(
            of_batch["bronze"],
            valid=_lines_closed(run, horizons["bronze"]),
            valid_retained=sum(loss.valid for loss in losses.values()),
        )
    if "quarantine" in of_batch:
        lines = sum(loss.quarantined for loss in losses.values())
        of_batch["quarantine"] = replace(of_batch["quarantine"], quarantined_retained=lines)
    entries = [_entry_after(run.ledger.entry_of(sha), loss, stamp.seq) for sha, loss in losses.items()]
    entries += of_batch.values()
    write_ledger(run, table, shape, entries, stamp.seq, stamp.batch)


def _lines_closed(run: Run, before: date) -> int:
    """How many of the valid lines that go had counted, by the books of the days that this closes."""
    books = books_in(live_files(*run.open("silver.event_hours")))
    return sum(book.valid for (day, _), book in books.items() if day < before and not run.is_closed(day))


def _entry_after(before: LedgerEntry, loss: Loss, seq: int) -> LedgerEntry:
    return replace(
        entry_without(before, loss, seq),
        valid_retained=(before.valid_retained or 0) + loss.valid,
        quarantined_retained=(before.quarantined_retained or 0) + loss.quarantined,
    )


def _expire(run: Run) -> None:
    """Write bronze without the rows that are too old, in one commit."""
    bronze, events = run.open("bronze.events")
    last = run.ledger.last_retention
    if last is None or seq_of(bronze) >= last.seq:
        return  # planning again after a conflict: the commit on bronze was ours
    horizons = run.ledger.horizons
    candidates = _candidates(run, horizons)
    if damaged := sorted(damaged_of(run, candidates)):
        raise FixData(
            f"{damaged[0]}: damaged, so what stays of it cannot be kept; {len(damaged):,} such in all.",
            "See `eventmint verify --deep`; restore it from a backup.",
        )
    reread = _losses(run, horizons, candidates)
    found = {file: losses for file, losses in reread.items() if sum_by_content([losses])}
    run.progress.start("retain", 0, 0)
    tasks = [
        Removal(
            _too_old(file, horizons),
            tuple(run.ledger.entry_of(content) for content in sorted(sum_by_content([losses]))),
            run.staging,
            f"kept-{last.seq:08d}-{last.batch[:12]}-{number}",
        )
        for number, (file, losses) in enumerate(sorted(found.items(), key=lambda item: item[0].location))
    ]
    made = [*run.engine.map(write_without, tasks, bytes_of(found))]
    properties = {RETAINED: horizons_to_json(horizons)}
    stamp = Stamp(last.seq, last.batch, properties=properties)
    run.commit(bronze, events, stamp, add=[place for place in made if place], remove=[*found])
    run.progress.finish("retain", f"{len(found):,} files of bronze")
    shrink_downloads()


def _batch_of(seq: int, horizons: Mapping[str, date]) -> str:
    return hashlib.sha256(f"retain {seq}\n{horizons_to_json(horizons)}".encode()).hexdigest()
