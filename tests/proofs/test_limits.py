"""A full disk, a folder that cannot be written, limits on files and memory: one line that says what to do.

Through the real command line, in a process of its own. Whatever the limit, the answers are the old ones or
the new ones, and without it the next run ends where it would have.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from deliveries import Row, Shop, event, published_rows, random_events, rows_of
from proofs.forms import Proof, form

MIB = 1 << 20
PARTS = form().times(2, 8)
ABORTED = 127  # by the C library, when it gets no memory
HINTS = ("run again", "set `lake.root` to another folder")
UNTIL_IT_HANGS = ("timeout", "--signal=KILL", "60")
EXPLAINED = 1  # the documented exit code of a run that failed
SUPERUSER_OVERRIDES = "-dac_override,-dac_read_search"
Rows = dict[str, list[Row]]


@dataclass
class Ended:
    """How a command ended and what it said."""

    code: int
    err: str

    def came_from_below(self) -> bool:
        """Whether the system or a library that got no memory ended the process, and not we."""
        is_wordless = "SystemError: " in self.err  # Python's word for C code that failed and did not say so
        return self.code < 0 or is_wordless or (self.code == ABORTED and "error:" not in self.err)

    def is_explained(self) -> bool:
        """Whether it is one line that says what happened and what to do, and a documented exit code."""
        lines = self.err.splitlines()
        return (
            self.code == EXPLAINED
            and len(lines) == 1
            and lines[0].startswith("error: ")
            and "a bug in eventmint" not in self.err
            and any(hint in lines[0] for hint in HINTS)
        )


@dataclass
class Bench:
    """A lake that has had a run, and the files of the next one, which meets a limit."""

    shop: Shop
    image: Path
    old: Rows
    new: Rows

    def go_back(self) -> None:
        for path in (self.shop.folder / "lake", *self.shop.folder.glob("analytics.duckdb*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.image, self.shop.folder, dirs_exist_ok=True)

    def run(self, *prefix: str, limited: str = "", to: int = 0, **environment: str) -> Ended:
        """Run the command line behind a prefix, under a limit of its own."""
        limit = f"import resource; resource.setrlimit(resource.{limited}, ({to}, {to}))" if limited else ""
        start = f"{limit}\nimport sys; from eventmint.cli import main; sys.exit(main(sys.argv[1:]))"
        home = str(self.shop.folder)
        done = subprocess.run(
            [*prefix, *UNTIL_IT_HANGS, sys.executable, "-B", "-c", start, "-C", home, "run", "-q"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        )
        assert limited == "RLIMIT_AS" or done.returncode != -signal.SIGKILL, f"{limited} {to}: it hangs"
        return Ended(done.returncode, done.stderr)

    def assert_kept_its_promise(self, ended: Ended, case: object) -> bool:
        """Return whether the run failed."""
        assert ended.code == 0 or ended.is_explained(), (case, ended)
        published = published_rows(self.shop)
        assert published in ((self.new,) if ended.code == 0 else (self.old, self.new)), case
        return ended.code != 0

    def assert_the_next_run_repairs_it(self, case: object) -> None:
        assert self.shop.run().laws_hold, case
        assert published_rows(self.shop) == self.new, case
        rows = {name: rows_of(self.shop.lake, name) for name in self.new}
        assert rows == {name: sorted(new, key=in_order) for name, new in self.new.items()}, case
        lines = self.shop.lake.totals().lines
        assert len(rows_of(self.shop.lake, "bronze.events")) == lines - 1, case  # one line is blank


def in_order(row: Row) -> str:
    return repr(list(row.values()))


def bench_in(folder: Path, image: Path) -> Bench:
    shop = Shop(folder)
    folder.mkdir(exist_ok=True)
    (folder / "eventmint.toml").write_text(
        f'[source]\npath = "{shop.source}"\nsettle_seconds = 0\n[lake]\nroot = "{folder}/lake"\n'
        f'database = "{shop.database}"\n[run]\nworkers = 1\n'
    )
    rng = Random(60)
    pool = random_events(rng, 400)
    shop.deliver("a", *pool[:300], event(), event(), b"{")
    shop.run()
    old = published_rows(shop)
    shutil.copytree(folder / "lake", image / "lake")
    shutil.copy2(shop.database, image)
    shop.deliver("a", *pool[:100], event(quantity=7), b"[]")
    shop.deliver("b", *pool[200:], b"")
    bench = Bench(shop, image, old, {})
    shop.run()
    bench.new = published_rows(shop)
    assert bench.new != old
    bench.go_back()
    return bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return bench_in(tmp_path / "shop", tmp_path / "image")


# --- Files may not grow -----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
def test_a_limit_on_the_size_of_files_is_explained_and_repaired(
    bench: Bench, part: int, proof: Proof
) -> None:
    rng = proof.random("file sizes", part)
    failed = 0
    count = proof.times(3, 12)
    for _ in range(count):
        size = int(2 ** rng.uniform(0, 21))
        bench.go_back()
        ended = bench.run(limited="RLIMIT_FSIZE", to=size)
        failed += bench.assert_kept_its_promise(ended, f"files of at most {size} bytes")
        bench.assert_the_next_run_repairs_it(f"files of at most {size} bytes")
    assert failed
    proof.tried("runs under a limit on the size of files", count)


# --- The disk is full -------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own that can be made smaller."""
    place = tmp_path / "disk"
    place.mkdir()
    if mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)):
        pytest.skip("optional: only an administrator may mount the disk that this test fills")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(*arguments: str) -> int:
    if shutil.which("mount") is None:
        return 1
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode


@pytest.mark.parametrize("part", range(PARTS))
def test_a_full_disk_is_explained_and_repaired(disk: Path, tmp_path: Path, part: int, proof: Proof) -> None:
    bench = bench_in(disk / "shop", tmp_path / "image")
    rng = proof.random("disk sizes", part)
    failed = 0
    count = proof.times(3, 10)
    for _ in range(count):
        bench.go_back()
        status = os.statvfs(disk)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        room = int(2 ** rng.uniform(12, 21))
        assert mount("-o", f"remount,size={used + room}", str(disk)) == 0
        ended = bench.run()
        failed += bench.assert_kept_its_promise(ended, f"{room} bytes of room")
        assert mount("-o", "remount,size=64m", str(disk)) == 0
        bench.assert_the_next_run_repairs_it(f"{room} bytes of room")
    assert failed
    proof.tried("runs on a disk with hardly any room", count)


def test_a_disk_that_became_read_only_is_explained_and_repaired(
    disk: Path, tmp_path: Path, proof: Proof
) -> None:
    bench = bench_in(disk / "shop", tmp_path / "image")
    gc.collect()  # the catalog's connection is one who could still write
    assert mount("-o", "remount,ro", str(disk)) == 0
    ended = bench.run()
    assert ended.is_explained(), ended
    assert "Read-only file system" in ended.err
    assert bench.assert_kept_its_promise(ended, "read-only disk")
    assert mount("-o", "remount,rw", str(disk)) == 0
    bench.assert_the_next_run_repairs_it("read-only disk")
    proof.tried("runs on a disk that is read-only")


# --- Folders that cannot be written -----------------------------------------------------------------------

FOLDERS = (
    "",
    "lake",
    "lake/.lock",
    "lake/catalog.sqlite",
    "lake/bronze/events",
    "lake/gold/user_activity/metadata",
)


def test_a_place_that_cannot_be_written_is_explained_and_repaired(bench: Bench, proof: Proof) -> None:
    for name in FOLDERS:
        bench.go_back()
        place = bench.shop.folder / name
        place.touch()
        places = [place, *place.rglob("*")] if name and place.is_dir() else [place]
        modes = {one: one.stat().st_mode for one in places}
        for one in places:
            one.chmod(0o555 if one.is_dir() else 0o444)
        ended = bench.run(*as_an_ordinary_user())
        for one, mode in modes.items():
            one.chmod(mode)
        assert ended.is_explained(), (name, ended)
        assert bench.assert_kept_its_promise(ended, name)
        bench.assert_the_next_run_repairs_it(name)
        proof.tried("runs into places that cannot be written")


def as_an_ordinary_user() -> list[str]:
    """What makes a command obey the modes of files, also when the administrator runs it."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("optional: the administrator's rights can only be dropped with setpriv")
    return ["setpriv", f"--bounding-set={SUPERUSER_OVERRIDES}", f"--inh-caps={SUPERUSER_OVERRIDES}"]


# --- Memory and temporary space ---------------------------------------------------------------------------


def test_a_run_needs_no_temporary_space_but_the_lakes_own(bench: Bench, proof: Proof) -> None:
    ended = bench.run(TMPDIR="/nonexistent", TMP="/nonexistent", TEMP="/nonexistent")
    assert (ended.code, ended.err) == (0, "")
    assert not bench.assert_kept_its_promise(ended, "no temporary space")
    bench.assert_the_next_run_repairs_it("no temporary space")
    proof.tried("runs without temporary space")


@pytest.mark.parametrize("part", range(PARTS))
def test_too_little_memory_leaves_nothing_half_written(bench: Bench, part: int, proof: Proof) -> None:
    """A library that gets no memory may end the process without a word, or for good wait for a thread of its
    own that never began. Then it is killed, and the lake is whole."""
    rng = proof.random("memory", part)
    explained = failed = 0
    count = proof.times(2, 8)
    for _ in range(count):
        size = rng.randrange(256, 2_048) * MIB
        bench.go_back()
        ended = bench.run(limited="RLIMIT_AS", to=size)
        case = f"{size // MIB} MiB of memory"
        if ended.came_from_below():
            assert published_rows(bench.shop) in (bench.old, bench.new), case
        else:
            explained += bench.assert_kept_its_promise(ended, case)
        failed += ended.code != 0
        bench.assert_the_next_run_repairs_it(case)
    assert failed
    proof.tried("runs with too little memory", failed)
    proof.tried("of them told by us, the others ended by a library or the system", explained)
