"""`make interop`: Spark with Iceberg's runtime and a Trino server read the lakes that eventmint wrote.

One line per check and a summary; the exit code is 1 when anything differs. `--write` renews docs/interop.md.

    make interop ARGS=--write
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from interop import lakes, rewrites
from interop.artifacts import Missing, fetch
from interop.checks import Book, check_user_is_gone, read_everything
from interop.lakes import LakeUnderTest
from interop.report import write_page
from interop.spark_reader import SparkReader, spark_reader
from interop.trino_reader import trino_reader


def main() -> int:
    parser = argparse.ArgumentParser(prog="make interop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/interop.md from this run")
    options = parser.parse_args()
    os.environ["TZ"] = "UTC"  # before the first date: PySpark shows dates in the process's zone
    time.tzset()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the servers would outlive us
    started = time.monotonic()
    try:
        artifacts = fetch()
    except Missing as err:
        print(err, file=sys.stderr)
        return 1
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="eventmint-interop-") as name:
        root = Path(name).resolve()
        book = Book(root)
        read = [lakes.from_scratch(root / "scratch"), lakes.in_increments(root / "increments")]
        erased, user, files = lakes.with_a_user_erased(root / "erased")
        print(f"erased: user {user}, by {files} files that were delivered again without their lines")
        read.append(erased)
        rewritten = {
            "compacted": lakes.in_increments(root / "compacted", until=2),
            "two_runs": lakes.in_increments(root / "two_runs", until=2),
            "cut_off": lakes.cut_off_before_the_ledger(root / "cut_off"),
            "deleted": lakes.in_increments(root / "deleted", until=2),
        }
        for start in (trino_reader, spark_reader):
            scratch = root / start.__name__
            scratch.mkdir()
            with start(artifacts, scratch, _catalogs([*read, *rewritten.values()])) as reader:
                versions[reader.name] = reader.version
                for lake in read:
                    read_everything(book, reader, lake)
                check_user_is_gone(book, reader, erased, user)
                if isinstance(reader, SparkReader):
                    increments, two = read[1], rewritten["two_runs"]
                    rewrites.compaction_between_runs(book, reader, rewritten["compacted"], increments, 2)
                    rewrites.compaction_after_a_crash(book, reader, rewritten["cut_off"], two)
                    rewrites.expiry_without_a_new_batch(book, reader, rewritten["compacted"])
                    rewrites.delete_on_read(book, reader, rewritten["deleted"], user)
    seconds = time.monotonic() - started
    print(f"{len(book.checks)} checks, {len(book.broken)} broken, {seconds:.0f} s; {versions}")
    if options.write:
        write_page(book, versions, seconds)
    return 1 if book.broken else 0


def _catalogs(under_test: list[LakeUnderTest]) -> dict[str, Path]:
    return {lake.name: lake.catalog_file for lake in under_test}


if __name__ == "__main__":
    sys.exit(main())
