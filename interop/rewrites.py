"""What other engines may do to the tables between our runs: compaction, as on Glue, and deletes."""

from __future__ import annotations

from collections.abc import Callable

from eventmint.contracts import all_contracts
from eventmint.errors import EventmintError, LawBroken
from interop.checks import Book, check_answers
from interop.lakes import INCREMENTS, LakeUnderTest
from interop.rows import difference
from interop.spark_reader import CATALOG, SparkReader

_SILVER = "silver.events_cleaned"


def compaction_between_runs(
    book: Book, reader: SparkReader, lake: LakeUnderTest, twin: LakeUnderTest, done: int
) -> None:
    """Compact all tables before each of the deliveries that are left; the twin had the same without.

    Args: done: number of increments that the lake has already.
    """
    for deliver in INCREMENTS[done:]:
        _compact(reader, lake, [shape.table for shape in all_contracts()])
        deliver(lake)
        _run(reader, lake)
    _expect(book, lake, "runs after Spark's rewrite_data_files on every table", lambda: _compared(lake, twin))
    check_answers(book, reader, lake)


def compaction_after_a_crash(
    book: Book, reader: SparkReader, lake: LakeUnderTest, twin: LakeUnderTest
) -> None:
    """Bronze is compacted between a run that died before the ledger's commit and the run that repairs it."""
    _compact(reader, lake, ["bronze.events"])

    def repaired() -> str:
        _run(reader, lake)
        lines, expected = (len(one.rows("bronze.events")) for one in (lake, twin))
        return _compared(lake, twin) + ("" if lines == expected else f"; {lines} lines, not {expected}")

    _expect(book, lake, "a crash before the ledger, then rewrite_data_files on bronze", repaired)


def expiry_without_a_new_batch(book: Book, reader: SparkReader, lake: LakeUnderTest) -> None:
    """Compact, expire old snapshots with their files; then a run with nothing new, then ask silver."""
    tables = [shape.table for shape in all_contracts()]
    _compact(reader, lake, tables)
    for table in tables:
        reader.run(
            lake.name,
            f"CALL {CATALOG}.system.expire_snapshots(table => '{table}', "
            "older_than => TIMESTAMP '2099-01-01 00:00:00', retain_last => 1)",
        )

    def asked() -> str:
        _run(reader, lake)
        held = len(lake.rows(_SILVER))
        counted = lake.lake.sql(f"SELECT count(*) AS events FROM {_SILVER}").to_pylist()[0]["events"]
        return "" if counted == held else f"{counted} events instead of {held}"

    _expect(book, lake, "silver through lake.sql after rewrite_data_files and expire_snapshots", asked)


def delete_on_read(book: Book, reader: SparkReader, lake: LakeUnderTest, user: str) -> None:
    """Rows deleted merge-on-read, as Athena deletes, must be refused and never come back."""
    table = f"{CATALOG}.{_SILVER}"
    reader.run(lake.name, f"ALTER TABLE {table} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    reader.run(lake.name, f"DELETE FROM {table} WHERE user_id = '{user}'")
    deletes = reader.held(lake.name, _SILVER).delete_files
    INCREMENTS[2](lake)
    try:
        _run(reader, lake)
        wrong = "the run went through"
    except EventmintError as err:
        wrong = "" if "merge-on-read" in str(err) else f"{type(err).__name__}: {err}"
    detail = f"{deletes} delete files, the run is refused with FixData"
    book.note(reader.name, lake.name, "a merge-on-read delete on silver", wrong, detail)
    reader.run(
        lake.name,
        f"CALL {CATALOG}.system.rewrite_data_files(table => '{_SILVER}', "
        "options => map('delete-file-threshold', '1'))",
    )
    try:
        _run(reader, lake)
        wrong = "the run went through"
    except EventmintError as err:
        wrong = "" if isinstance(err, LawBroken) else f"{type(err).__name__}: {err}"
    detail = "bronze still has the lines: LawBroken says how many events are missing, nothing is published"
    book.note(reader.name, lake.name, "the same, after rewrite_data_files", wrong, detail)


def _compact(reader: SparkReader, lake: LakeUnderTest, tables: list[str]) -> None:
    for table in tables:
        reader.run(
            lake.name,
            f"CALL {CATALOG}.system.rewrite_data_files(table => '{table}', "
            "options => map('rewrite-all', 'true', 'min-input-files', '1'))",
        )


def _run(reader: SparkReader, lake: LakeUnderTest) -> None:
    reader.release(lake.name)
    lake.run()


def _expect(book: Book, lake: LakeUnderTest, what: str, compared: Callable[[], str]) -> None:
    try:
        wrong = compared()
        wrong += "; ".join(str(law) for law in lake.lake.verify() if not law.holds)
    except EventmintError as err:
        wrong = f"{type(err).__name__}: {err}"
    book.note("Spark", lake.name, what, wrong, "the same rows and answers as without, every law holds")


def _compared(lake: LakeUnderTest, twin: LakeUnderTest) -> str:
    """Return what differs in silver, gold and the answers; bronze names the folders of its sources."""
    wrong = [
        f"{shape.table}: {different}"
        for shape in all_contracts()
        if shape.schema in ("silver", "gold")
        and (different := difference(twin.rows(shape.table), lake.rows(shape.table), is_ordered=False))
    ]
    return "; ".join(wrong) + ("" if lake.answers() == twin.answers() else "; other answers")
