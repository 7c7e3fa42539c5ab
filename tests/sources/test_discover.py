"""Discovery: which files are taken, left for later or passed over, and when each came in."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventmint.errors import FixData, FixSettings
from eventmint.sources.discover import Listing, _received_at, list_source
from eventmint.values import SourceFile

PATTERN = "events/**/*.jsonl.gz"
OLD = 1_750_000_000  # 2025-06-15 15:06:40 UTC
FOLDERS = "events/year=2026/month=01/day=15/hour=10/minute=05"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def put(source: Path, name: str | bytes, content: bytes = b"x", modified: float = OLD) -> bytes:
    """Write a file below the source and return its name as bytes."""
    path = os.path.join(os.fsencode(source), os.fsencode(name))  # noqa: PTH118 - a Path is never bytes
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(content)
    os.utime(path, (modified, modified))
    return path


def names(listing: Listing) -> list[str]:
    return [Path(file.location).name for file in listing.files]


def listed(source: Path, pattern: str = PATTERN, **arguments: Any) -> Listing:
    return list_source(source, pattern, **arguments)


def only(source: Path) -> SourceFile:
    (file,) = listed(source).files
    return file


# --- Names -----------------------------------------------------------------------------------------------


ODD_NAMES: list[bytes] = [
    b"plain.jsonl.gz",
    b" leading and trailing space .jsonl.gz",
    "b\u00fccher \u73a9\u5177 \U0001f600.jsonl.gz".encode(),
    "e\u0301 is not \u00e9.jsonl.gz".encode(),
    b"a%2Fb.jsonl.gz",
    b"two\nlines.jsonl.gz",
    b"tab\tand\rreturn.jsonl.gz",
    b"key=value.jsonl.gz",
    b"not utf-8 \xff\xfe.jsonl.gz",
    b"quote'quote\"back\\slash.jsonl.gz",
    b"..jsonl.gz",
    b".jsonl.gz",
    b"-rf.jsonl.gz",
    b"*?[a].jsonl.gz",
    b"$(id);|&.jsonl.gz",
    b"n" * 246 + b".jsonl.gz",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_a_name_is_data(source: Path, name: bytes) -> None:
    location = put(source, b"events/" + name, b"content")
    file = only(source)
    assert os.fsencode(file.location) == location
    assert Path(file.location).read_bytes() == b"content"
    assert file.path.encode()  # it can be stored
    assert file.size_bytes == 7


def test_a_folder_name_is_data_too(source: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        put(source, b"events/" + name.removesuffix(b".jsonl.gz") + b"/%d.jsonl.gz" % number)
    found = listed(source).files
    assert len(found) == len({file.path for file in found}) == len(ODD_NAMES)


def test_two_files_never_share_a_path(source: Path) -> None:
    put(source, b"events/a\xff.jsonl.gz")
    put(source, b"events/a\\xff.jsonl.gz")
    assert len({file.path for file in listed(source).files}) == 2


def test_a_path_is_absolute_so_that_two_sources_never_share_one(source: Path) -> None:
    path = put(source, f"{FOLDERS}/events-20260115-100500.jsonl.gz")
    assert only(source).path == os.path.realpath(os.fsdecode(path))


def test_the_version_changes_with_size_and_time(source: Path) -> None:
    versions = set()
    for content, modified in ((b"x", OLD), (b"xy", OLD), (b"x", OLD + 1), (b"xy", OLD + 0.001)):
        put(source, "events/a.jsonl.gz", content, modified)
        versions.add(only(source).version)
    assert len(versions) == 4


# --- What is no file to read -----------------------------------------------------------------------------


def test_links_pipes_and_folders_are_passed_over_with_a_reason(source: Path) -> None:
    put(source, "events/real.jsonl.gz")
    events = source / "events"
    (events / "link.jsonl.gz").symlink_to(events / "real.jsonl.gz")
    (events / "broken.jsonl.gz").symlink_to(events / "nowhere")
    (events / "leaving.jsonl.gz").symlink_to("/etc/hostname")
    (events / "to_a_folder.jsonl.gz").symlink_to(source)
    os.mkfifo(events / "pipe.jsonl.gz")
    (events / "folder.jsonl.gz").mkdir()
    listing = listed(source)
    assert names(listing) == ["real.jsonl.gz"]
    assert sorted((Path(path).name, reason) for path, reason in listing.skipped) == [
        ("broken.jsonl.gz", "symlink"),
        ("folder.jsonl.gz", "not_a_file"),
        ("leaving.jsonl.gz", "symlink"),
        ("link.jsonl.gz", "symlink"),
        ("pipe.jsonl.gz", "not_a_file"),
        ("to_a_folder.jsonl.gz", "symlink"),
    ]


def test_a_folder_that_is_a_link_is_not_entered(source: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside", "events/secret.jsonl.gz")
    put(source, "events/real.jsonl.gz")
    (source / "events" / "linked").symlink_to(tmp_path / "outside")
    assert names(listed(source)) == ["real.jsonl.gz"]


def test_the_root_itself_may_be_a_link(source: Path, tmp_path: Path) -> None:
    put(source, "events/real.jsonl.gz")
    (tmp_path / "link").symlink_to(source)
    assert names(listed(tmp_path / "link")) == ["real.jsonl.gz"]


# --- When a file came in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "received_at"),
    [
        (f"{FOLDERS}/events-20260115-100512.jsonl.gz", datetime(2026, 1, 15, 10, 5, 12, tzinfo=UTC)),
        (f"{FOLDERS}/part-0.jsonl.gz", datetime(2026, 1, 15, 10, 5, tzinfo=UTC)),
        ("events/year=2026/month=01/day=15/hour=10/x.jsonl.gz", datetime(2026, 1, 15, 10, tzinfo=UTC)),
        ("events/year=2026/month=01/day=15/x.jsonl.gz", datetime(2026, 1, 15, tzinfo=UTC)),
        # The name is nearer than the folders.
        (f"{FOLDERS}/events-20251231-235959.jsonl.gz", datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("events/events-20260115-100512.jsonl.gz", datetime(2026, 1, 15, 10, 5, 12, tzinfo=UTC)),
    ],
)
def test_the_time_is_that_of_the_name_else_of_the_folders(
    source: Path, name: str, received_at: datetime
) -> None:
    put(source, name)
    assert only(source).received_at == received_at


@pytest.mark.parametrize(
    "name",
    [
        "events/a.jsonl.gz",
        "events/year=2026/month=01/x.jsonl.gz",
        "events/year=2026/month=13/day=15/x.jsonl.gz",
        "events/year=2026/month=02/day=30/hour=10/minute=05/x.jsonl.gz",
        "events/year=0000/month=01/day=01/x.jsonl.gz",
        "events/year=2026/month=01/day=15/hour=24/x.jsonl.gz",
        "events/year=2026/month=01/day=15/hour=10/minute=60/x.jsonl.gz",
        "events/year=26/month=1/day=5/x.jsonl.gz",
        "events/events-20260230-100000.jsonl.gz",
        "events/events-20260115-240000.jsonl.gz",
        "events/events-20260115-100060.jsonl.gz",
        "events/events-20260115-1000.jsonl.gz",
    ],
)
def test_without_a_possible_time_in_the_path_it_is_that_of_the_file(source: Path, name: str) -> None:
    put(source, name)
    assert only(source).received_at == datetime.fromtimestamp(OLD, UTC)


def test_an_impossible_time_in_the_name_leaves_that_of_the_folders(source: Path) -> None:
    put(source, f"{FOLDERS}/events-20260230-100000.jsonl.gz")
    assert only(source).received_at == datetime(2026, 1, 15, 10, 5, tzinfo=UTC)


def test_a_file_from_before_1970_is_taken(source: Path) -> None:
    put(source, "events/a.jsonl.gz", modified=-86_400.0)
    assert only(source).received_at == datetime(1969, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("modified", [3e11, -1e11])
def test_a_modification_time_beyond_the_calendar_stops_nothing(modified: float) -> None:
    assert isinstance(_received_at("events/a.jsonl.gz", modified), datetime)


def test_files_come_in_order_of_time_then_path(source: Path) -> None:
    put(source, "events/c.jsonl.gz", modified=OLD + 1)
    put(source, "events/b.jsonl.gz", modified=OLD)
    put(source, "events/a.jsonl.gz", modified=OLD + 2)
    put(source, "events/z/0.jsonl.gz", modified=OLD)
    put(source, "events/events-20200101-000000.jsonl.gz")
    assert names(listed(source)) == [
        *("events-20200101-000000.jsonl.gz", "b.jsonl.gz", "0.jsonl.gz", "c.jsonl.gz", "a.jsonl.gz"),
    ]


# --- Files that are still being written ------------------------------------------------------------------


@pytest.fixture
def while_it_waits(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Return a list of what happens while discovery waits, in place of the waiting."""
    happenings: list[Callable[[], object]] = []

    def pass_time(seconds: float) -> None:
        assert seconds == 5.0
        happenings.pop(0)()

    monkeypatch.setattr(time, "sleep", pass_time)
    return happenings


def test_a_file_that_grows_is_left_for_the_next_run(
    source: Path, while_it_waits: list[Callable[[], object]]
) -> None:
    put(source, "events/old.jsonl.gz")
    put(source, "events/done.jsonl.gz", modified=time.time())
    put(source, "events/growing.jsonl.gz", modified=time.time())
    while_it_waits.append(lambda: put(source, "events/growing.jsonl.gz", b"xx", time.time()))
    listing = listed(source, settle_seconds=5.0)
    assert names(listing) == ["old.jsonl.gz", "done.jsonl.gz"]
    assert [Path(path).name for path in listing.unsettled] == ["growing.jsonl.gz"]

    while_it_waits.append(lambda: None)
    listing = listed(source, settle_seconds=5.0)
    assert len(listing.files) == 3
    assert listing.unsettled == ()


def test_a_file_that_is_rewritten_with_the_same_size_is_left_too(
    source: Path, while_it_waits: list[Callable[[], object]]
) -> None:
    put(source, "events/a.jsonl.gz", modified=time.time())
    while_it_waits.append(lambda: put(source, "events/a.jsonl.gz", b"y", time.time() + 0.5))
    listing = listed(source, settle_seconds=5.0)
    assert (listing.files, len(listing.unsettled)) == ((), 1)


def test_a_file_that_vanishes_while_we_wait_is_no_file(
    source: Path, while_it_waits: list[Callable[[], object]]
) -> None:
    put(source, "events/a.jsonl.gz", modified=time.time())
    while_it_waits.append((source / "events/a.jsonl.gz").unlink)
    assert listed(source, settle_seconds=5.0) == Listing(())


def test_nobody_waits_for_files_that_are_old_enough(
    source: Path, while_it_waits: list[Callable[[], object]]
) -> None:
    put(source, "events/a.jsonl.gz", modified=time.time() - 6)
    assert while_it_waits == []  # an empty list: waiting would fail
    assert names(listed(source, settle_seconds=5.0)) == ["a.jsonl.gz"]


def test_a_clock_that_runs_ahead_does_not_keep_a_file_waiting_for_ever(
    source: Path, while_it_waits: list[Callable[[], object]]
) -> None:
    put(source, "events/tomorrow.jsonl.gz", modified=time.time() + 86_400)
    put(source, "events/soon.jsonl.gz", modified=time.time() + 2)
    while_it_waits.append(lambda: None)
    assert names(listed(source, settle_seconds=5.0)) == ["soon.jsonl.gz", "tomorrow.jsonl.gz"]


def test_a_writer_at_work_is_seen(source: Path) -> None:
    put(source, "events/a.jsonl.gz", modified=time.time())
    stop = threading.Event()

    def write_slowly() -> None:
        with (source / "events/a.jsonl.gz").open("ab") as file:
            while not stop.wait(0.02):
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    try:
        listing = listed(source, settle_seconds=0.2)
    finally:
        stop.set()
        writer.join()
    assert (listing.files, len(listing.unsettled)) == ((), 1)


# --- Which files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("events/**/*.jsonl.gz", {"events/a.jsonl.gz", "events/x/b.jsonl.gz", "events/x/y/c.jsonl.gz"}),
        (
            "**/*.jsonl.gz",
            {"d.jsonl.gz", "events/a.jsonl.gz", "events/x/b.jsonl.gz", "events/x/y/c.jsonl.gz"},
        ),
        ("events/*.jsonl.gz", {"events/a.jsonl.gz"}),
        ("*.jsonl.gz", {"d.jsonl.gz"}),
        ("*", {"d.jsonl.gz", "e.jsonl"}),
        ("events/*/*", {"events/x/b.jsonl.gz", "events/x/f.txt"}),
        ("events/?/?.jsonl.gz", {"events/x/b.jsonl.gz"}),
        ("**/b.jsonl.gz", {"events/x/b.jsonl.gz"}),
        (
            "events/**",
            {"events/a.jsonl.gz", "events/x/b.jsonl.gz", "events/x/y/c.jsonl.gz", "events/x/f.txt"},
        ),
        ("events/x/**/c.jsonl.gz", {"events/x/y/c.jsonl.gz"}),
        ("events/[ax]*", set()),
        ("Events/**/*.jsonl.gz", set()),
        ("nothing/**", set()),
    ],
)
def test_the_pattern_is_a_glob_over_the_path_below_the_root(
    source: Path, pattern: str, expected: set[str]
) -> None:
    for name in ("events/a.jsonl.gz", "events/x/b.jsonl.gz", "events/x/y/c.jsonl.gz", "d.jsonl.gz"):
        put(source, name)
    for name in ("e.jsonl", "events/x/f.txt"):
        put(source, name)
    found = {Path(file.location).relative_to(source).as_posix() for file in listed(source, pattern).files}
    assert found == expected


def test_what_is_known_is_not_listed_again(source: Path) -> None:
    put(source, "events/known.jsonl.gz")
    put(source, "events/new.jsonl.gz")
    before = {Path(file.location).name: file for file in listed(source).files}
    asked = []

    def is_known(path: str, version: str) -> bool:
        asked.append((path, version))
        return path == before["known.jsonl.gz"].path

    listing = listed(source, is_known=is_known)
    assert names(listing) == ["new.jsonl.gz"]
    assert sorted(asked) == sorted((file.path, file.version) for file in before.values())


def test_nobody_waits_for_a_file_that_is_known(
    source: Path, while_it_waits: list[Callable[[], object]]
) -> None:
    put(source, "events/known.jsonl.gz", modified=time.time())
    assert while_it_waits == []
    assert listed(source, is_known=lambda *_: True, settle_seconds=5.0) == Listing(())


@pytest.mark.parametrize("name", ["events/a.jsonl.gz", "renamed.txt"])
def test_a_single_file_is_a_source_whatever_its_name(source: Path, name: str) -> None:
    put(source, name)
    put(source, "events/other.jsonl.gz")
    file = only(source / name)
    assert file.location == str((source / name).resolve())


def test_an_empty_source_is_an_empty_listing(source: Path) -> None:
    source.mkdir()
    assert listed(source) == Listing(())


def test_a_source_that_is_not_there_is_a_wrong_setting(source: Path) -> None:
    with pytest.raises(FixSettings, match="no such source folder"):
        listed(source)
    source.symlink_to(source.parent / "nowhere")
    with pytest.raises(FixSettings, match="no such source folder"):
        listed(source)


def test_half_a_listing_is_never_acted_on(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fault is put in at the operating system's border: root may list any folder.
    put(source, "events/good/a.jsonl.gz")
    put(source, "events/locked/b.jsonl.gz")
    real = os.scandir

    def scandir(folder: Any) -> Iterator[os.DirEntry[str]]:
        if Path(folder).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(FixData, match="locked: cannot be listed: Permission denied"):
        listed(source)
