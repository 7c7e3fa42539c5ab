"""What a stage may ask of an engine. Small on purpose: every verb must mean the same on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from eventmint.contracts import Contract

Task = TypeVar("Task")
Result = TypeVar("Result")
# A path of this machine, or an `s3://` address where workers do not see its disk.
Place = Path | str


class Session(Protocol):
    """One stage's work: named inputs, statements over them, files out. Its temporary tables end with it.

    A name must be given before another SELECT uses it, and what was defined over a name keeps what the name
    meant then: engines differ in when they look.
    """

    @property
    def dialect(self) -> str:
        """Whose words models are wanted in, as `contracts.model_sql` knows them."""

    def scan(self, name: str, contract: Contract, locations: Sequence[str]) -> None:
        """Give Parquet files a name; columns are found by field id; no file means no row.

        A further column `_location` tells which file a row is from.
        """

    def view(self, name: str, sql: str) -> None:
        """Give a SELECT a name; it runs where it is used."""

    def table(self, name: str, sql: str) -> None:
        """Keep the result of a SELECT as a temporary table."""

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a SELECT that is known to be small."""

    def write(
        self, sql: str, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...] = ()
    ) -> Sequence[Place]:
        """Write the rows of a SELECT as Parquet files named `<stem>[-<split values>].parquet`."""

    def output(
        self, contract: Contract, folder: Place, stem: str, split_by: tuple[str, ...] = ()
    ) -> AbstractContextManager[Output]:
        """Open files, named as by `write`, that several SELECTs fill."""

    def row_hash(self, columns: Iterable[str]) -> str:
        """SQL for a 64-bit hash of the columns: finds candidates within one session, decides nothing."""

    def hour_number(self, column: str) -> str:
        """SQL for the whole UTC hours between 1970 and an instant."""

    def instant(self, moment: datetime) -> str:
        """SQL for an instant."""

    def find_among(self, name: str, fields: str, relation: str, column: str, among: str) -> None:
        """Make a temporary table of the rows of `relation` whose `column` is one of those in `among`.

        Args:
            among: values, few against `relation`.
        """

    def find_at_times(self, name: str, fields: str, relation: str, probe: str, lookup: str = "") -> None:
        """Make a temporary table of the rows of `relation` at the times (`event_time`) that `probe` has.

        Nearly all that is probed for is newer than what is held; the scan of what is held must be short.

        Args:
            lookup: a column of both: rows with a value that `probe` does not have may be left out.
        """

    def flagged(self, fields: str, relation: str, column: str, among: str, flag: str) -> str:
        """SELECT of all rows of `relation` with a boolean: whether their `column` is one of those in `among`.

        Args:
            among: a temporary table that has each value of `column` once, few against `relation`.
        """


class Output(Protocol):
    """Files of one table in the making."""

    def add(self, sql: str, aside: str = "") -> None:
        """Add the rows of a SELECT.

        Args:
            aside: a boolean column: its rows are not written but kept as a temporary table of that name.
        """

    def close(self) -> Sequence[Place]:
        """Finish the files and return them in order of their split values."""


class Engine(Protocol):
    """Who computes."""

    @property
    def shares_disk(self) -> bool:
        """Whether its workers and statements see the files of this machine."""

    def session(self, scratch: Path) -> AbstractContextManager[Session]:
        """Open a session that may spill to `scratch`."""

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], size_bytes: int
    ) -> Iterator[Result]:
        """Apply a function to each task on all cores and yield the results in the order of the tasks.

        Args:
            size_bytes: how much the tasks read in all; little is not worth a process.
        """

    def threads_a_task(self, count: int, size_bytes: int) -> int:
        """Return how many threads each of so many tasks may take: more than one where they run in turn."""

    def close(self) -> None:
        """End what the engine has started."""
