"""The sample generator: the same bytes for the same seed, a shop that behaves, and a truth that is true."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import oracle
import pytest

from eventmint.sources import sample

REPOSITORY = Path(__file__).parents[2]
COMMITTED = REPOSITORY / "sample-data"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = (
    *("timestamp", "user_id", "session_id", "event_type", "product_id"),
    *("quantity", "price", "category", "search_query"),
)
TOTALS = ("lines", "blank", "valid", "quarantined", "duplicates", "events")
ANSWERS = ("conversion_funnel", "hourly_revenue", "top_products", "category_performance", "user_activity")


class Made:
    """A data set on disk, read back."""

    def __init__(self, folder: Path) -> None:
        paths = sorted((folder / "events").rglob("*.jsonl.gz"))
        self.texts = {
            path.relative_to(folder).as_posix(): gzip.decompress(path.read_bytes()) for path in paths
        }
        self.lines = {path: oracle.split_lines(text) for path, text in self.texts.items()}

    def truth(self, folder: Path) -> dict[str, Any]:
        truth: dict[str, Any] = json.loads((folder / "truth.json").read_text())
        return truth

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Return each true event once, as JSON values, with the start of its first file under "window"."""
        seen: dict[bytes, dict[str, Any]] = {}
        for path, lines in self.lines.items():
            for line in lines:
                if oracle.judge(line, now=NOW).values is not None and line not in seen:
                    seen[line] = json.loads(line) | {"window": window_of(path)}
        return list(seen.values())


def window_of(path: str) -> datetime:
    return datetime.strptime(path[-24:-9], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def write(folder: Path, **settings: Any) -> Made:
    sample.generate(sample.SampleSettings(output_dir=folder, truth=folder / "truth.json", **settings))
    return Made(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="module")
def made(folder: Path) -> Made:
    """Six files of 2,000 lines each, about 120 of them bad: two rounds of every kind."""
    return write(folder, num_files=6, events_per_file=2_000, bad_rate=0.01, late_rate=0.02, workers=1)


def by_session(made: Made) -> dict[str, list[dict[str, Any]]]:
    sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in sorted(made.events, key=lambda event: datetime.fromisoformat(event["timestamp"])):
        sessions[event["session_id"]].append(event)
    return sessions


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the oracle's rows as the truth writes them: text for days and money, no rates."""
    return [
        {name: text_of(value) for name, value in row.items() if not name.endswith("_rate")} for row in rows
    ]


def text_of(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:.6f}"
    return value.isoformat() if isinstance(value, date) else value


def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as on a bare Python: isolated, without any installed package."""
    command = [sys.executable, "-I", "-S", str(REPOSITORY / "generate_sample_data.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# ---- the same bytes -------------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 2, 3):
        settings = sample.SampleSettings(
            num_files=5,
            events_per_file=700,
            bad_rate=0.01,
            output_dir=tmp_path / str(workers),
            truth=tmp_path / str(workers) / "truth.json",
            workers=workers,
        )
        sample.generate(settings)
    first, *others = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
        for root in tmp_path.iterdir()
    )
    assert len(first) == 6
    assert all(other == first for other in others)


def test_another_seed_writes_other_events(tmp_path: Path) -> None:
    one, two = (write(tmp_path / str(seed), num_files=1, seed=seed) for seed in (1, 2))
    assert not set(next(iter(one.lines.values()))) & set(next(iter(two.lines.values())))


def test_a_file_can_be_made_alone_and_does_not_depend_on_how_many_follow(folder: Path, made: Made) -> None:
    sink = io.BytesIO()
    settings = sample.SampleSettings(num_files=9, events_per_file=2_000, bad_rate=0.01, late_rate=0.02)
    counts = sample.write_file(settings, 4, sink)
    assert sink.getvalue() == (folder / counts.path).read_bytes()
    assert counts.path == list(made.texts)[4]


def test_the_gzip_header_holds_neither_name_nor_time(folder: Path, made: Made) -> None:
    for path in made.texts:
        assert (folder / path).read_bytes()[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_files_lie_under_their_five_minutes_across_midnight(tmp_path: Path) -> None:
    start = datetime.fromisoformat("2026-03-01T00:55:00+01:00")
    assert list(write(tmp_path, num_files=2, events_per_file=20, start=start).texts) == [
        "events/year=2026/month=02/day=28/hour=23/minute=55/events-20260228-235500.jsonl.gz",
        "events/year=2026/month=03/day=01/hour=00/minute=00/events-20260301-000000.jsonl.gz",
    ]


def test_a_file_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")

    def write_half() -> None:
        with sample.whole_file(tmp_path / "kept") as sink:
            sink.write(b"half of the new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


# ---- the truth ------------------------------------------------------------------------------------------


def test_the_truth_is_what_the_slow_oracle_counts_from_the_files(folder: Path, made: Made) -> None:
    truth, lake = made.truth(folder), oracle.lake(made.texts, now=NOW)
    for name in ANSWERS:
        assert truth["answers"][name] == plain(getattr(lake, name)), name
    assert truth["totals"] == {
        "lines": lake.lines,
        "blank": lake.blank,
        "valid": lake.valid,
        "quarantined": lake.quarantined,
        "duplicates": lake.duplicates,
        "events": len(lake.events),
    }
    assert truth["quarantined_by_reason"] == lake.quarantined_by_reason


def test_the_truth_counts_every_file(folder: Path, made: Made) -> None:
    counted = []
    for path, text in made.texts.items():
        lake = oracle.lake([text], now=NOW)
        counts = {
            "lines": lake.lines,
            "blank": lake.blank,
            "valid": lake.valid,
            "quarantined": lake.quarantined,
        }
        counted.append({"path": path, **counts})
    assert made.truth(folder)["files"] == counted


@pytest.mark.parametrize("kind", sorted(sample.REASONS))
def test_a_bad_line_has_the_reasons_its_kind_promises(kind: str) -> None:
    line = sample.broken_line(kind, datetime(2026, 1, 15, 10, tzinfo=UTC), 5)
    assert oracle.judge(line.encode("utf-8", "surrogateescape"), now=NOW).problem == sample.REASONS[kind]


def test_every_kind_and_every_reason_of_the_contract_comes_round(folder: Path, made: Made) -> None:
    truth = made.truth(folder)
    assert set(truth["bad_lines_by_kind"]) == set(sample.REASONS)
    assert set(truth["quarantined_by_reason"]) == set(oracle.REASONS)


def test_one_line_of_a_data_set_is_one_byte_too_long(made: Made) -> None:
    too_long = [len(line) for lines in made.lines.values() for line in lines if len(line) > 1_048_576]
    assert too_long == [1_048_577]


@pytest.mark.parametrize("lines", [1, 2, 3, 7, 30, 99, 100, 2_501])
@pytest.mark.parametrize("rates", [(0, 0), (0.07, 0), (0.5, 0.25)])
def test_every_file_has_exactly_the_lines_asked_for(
    tmp_path: Path, lines: int, rates: tuple[float, float]
) -> None:
    made = write(
        tmp_path, num_files=5, events_per_file=lines, duplicate_rate=rates[0], bad_rate=rates[1], workers=1
    )
    assert [len(found) for found in made.lines.values()] == [lines] * 5
    lake = oracle.lake(made.texts, now=NOW)
    totals = made.truth(tmp_path)["totals"]
    assert (totals["valid"], totals["events"]) == (lake.valid, len(lake.events))


# ---- a shop that behaves --------------------------------------------------------------------------------


def test_a_session_sees_before_it_adds_and_adds_before_it_buys(made: Made) -> None:
    purchases = 0
    for events in by_session(made).values():
        seen, cart = set(), set()
        for event in events:
            item = (event.get("product_id"), event.get("quantity"))
            match event["event_type"]:
                case "page_view":
                    seen.add(event["product_id"])
                case "add_to_cart":
                    assert event["product_id"] in seen
                    cart.add(item)
                case "purchase" | "remove_from_cart":
                    assert item in cart
                    purchases += event["event_type"] == "purchase"
    assert purchases > 100


def test_a_session_belongs_to_one_user_and_one_file_and_its_times_rise(made: Made) -> None:
    sessions = by_session(made)
    for events in sessions.values():
        assert len({(event["user_id"], event["window"]) for event in events}) == 1
        times = [datetime.fromisoformat(event["timestamp"]) for event in events]
        assert all(earlier < later for earlier, later in pairwise(times))
    assert 4 < sum(map(len, sessions.values())) / len(sessions) < 8


def test_users_return(made: Made) -> None:
    visits = Counter(events[0]["user_id"] for events in by_session(made).values())
    assert 0.3 < len(visits) / visits.total() < 0.9


def test_a_product_has_one_price_and_one_category(made: Made) -> None:
    labels = defaultdict(set)
    for event in made.events:
        if event["event_type"] == "search":
            assert (event.get("product_id"), event.get("price"), event.get("category")) == (None, None, None)
            assert event["search_query"]
        else:
            labels[event["product_id"]].add((event["price"], event.get("category")))
    assert all(len(found) == 1 for found in labels.values())
    categories = {category for found in labels.values() for _, category in found}
    assert categories == set(sample.SHELVES)


def test_times_lie_inside_the_five_minutes_of_the_file_except_late_ones(made: Made) -> None:
    delays = [event["window"] - datetime.fromisoformat(event["timestamp"]) for event in made.events]
    late = [delay for delay in delays if delay > timedelta(0)]
    assert min(delays) > -timedelta(minutes=5)
    assert timedelta(hours=1) < max(late) <= timedelta(days=2)
    assert sum(delay <= timedelta(hours=1) for delay in late) > len(late) / 2
    assert 0.01 < len(late) / len(delays) < 0.03


def test_one_line_in_fourteen_is_delivered_again_byte_for_byte(made: Made) -> None:
    copies = defaultdict(list)
    for number, lines in enumerate(made.lines.values()):
        for line in lines:
            if oracle.judge(line, now=NOW).values is not None:
                copies[line].append(number)
    same_file = sum(count - 1 for found in copies.values() for count in Counter(found).values())
    later_file = [file - min(found) for found in copies.values() for file in set(found) - {min(found)}]
    line_count = sum(map(len, made.lines.values()))
    assert 0.05 < (same_file + len(later_file)) / line_count < 0.1
    assert 0.6 < same_file / (same_file + len(later_file)) < 0.8
    assert set(later_file) == {1, 2, 3}


def test_ordinary_lines_are_exactly_what_json_dumps_writes(made: Made) -> None:
    lines = [line for lines in made.lines.values() for line in lines if oracle.judge(line, now=NOW).values]
    ordinary = [line for line in lines if tuple(json.loads(line)) == KEYS]
    assert len(ordinary) > 0.99 * len(lines)
    unlike = [line for line in ordinary if sample.compact(json.loads(line)).encode() != line]
    assert all(line.endswith(b"\r") for line in unlike)


def test_a_few_valid_lines_are_written_in_other_legal_ways(made: Made) -> None:
    text = b"\n".join(made.texts.values())
    for sign in (b'"app_version":', b"+02:00", b'"timestamp": "', b'\\"', b"\\u00e9"):
        assert 1 <= text.count(sign) < 100, sign


def test_visitors_buy_more_in_the_evening_than_at_night(tmp_path: Path) -> None:
    def purchases(hour: int) -> int:
        start = datetime(2026, 1, 15, hour, tzinfo=UTC)
        write(tmp_path / str(hour), num_files=1, events_per_file=5_000, start=start, late_rate=0)
        rows = json.loads((tmp_path / str(hour) / "truth.json").read_text())["answers"]["hourly_revenue"]
        return sum(row["transaction_count"] for row in rows)

    assert purchases(20) > 3 * purchases(4) > 0


def test_files_of_different_size_are_the_same_from_whatever_start_they_are_counted() -> None:
    def made(start: datetime, index: int) -> tuple[str, int, bytes]:
        settings = sample.SampleSettings(events_per_file=2_000, size_spread=0.2, start=start)
        sink = io.BytesIO()
        counts = sample.write_file(settings, index, sink)
        text = gzip.decompress(sink.getvalue())
        assert counts.lines == text.count(b"\n")
        return counts.path, counts.lines, text

    start = datetime(2026, 1, 15, 10, tzinfo=UTC)
    files = [made(start, index) for index in range(3, 33)]
    assert files == [made(start + (index - 3) * sample.WINDOW, 3) for index in range(3, 33)]
    sizes = [lines for _, lines, _ in files]
    assert 1_600 <= min(sizes) < 1_700
    assert 2_300 < max(sizes) <= 2_400


# ---- the command ----------------------------------------------------------------------------------------


def test_the_command_runs_on_bare_python(tmp_path: Path) -> None:
    done = run_command("--num-files", 3, "--events-per-file", 50, "--output-dir", tmp_path, "--workers", 2)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert done.stdout.startswith(f"3 files in {tmp_path}: 150 lines, 0 blank, 150 valid")
    assert "3/3 files" in done.stderr
    assert len(Made(tmp_path).texts) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--num-files", "0"], "--num-files must be between 1 and 100,000, not 0"),
        (["--events-per-file", "many"], "--events-per-file: invalid int value: 'many'"),
        (["--bad-rate", "nan"], "--bad-rate must be between 0 and 0.25, not nan"),
        (["--start", "tomorrow"], "--start: 'tomorrow' is not a time like 2026-01-15T10:00:00Z"),
        (["--start", "2026-01-15T10:00:00"], "--start needs a time zone"),
        (["--start", "2026-01-15T10:01:00Z"], "--start must be a full five minutes"),
        (["--frequency", "5"], "unrecognized arguments: --frequency 5"),
    ],
)
def test_a_wrong_argument_gets_one_clear_line_and_exit_code_2(arguments: list[str], complaint: str) -> None:
    done = run_command(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert complaint in done.stderr


def test_a_folder_that_cannot_be_written_gets_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = run_command("--num-files", 1, "--output-dir", tmp_path / "taken")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "cannot write" in done.stderr


# ---- the committed sample -------------------------------------------------------------------------------


def test_the_committed_sample_is_what_its_readme_says_it_is(tmp_path: Path) -> None:
    readme = (COMMITTED / "README.md").read_text()
    command = next(
        line for line in readme.splitlines() if line.strip().startswith("python generate_sample_data.py")
    )
    arguments = [word.replace("sample-data", str(tmp_path)) for word in shlex.split(command)[2:]]
    assert run_command(*arguments).returncode == 0
    assert (
        Made(COMMITTED).texts == Made(tmp_path).texts
    )  # zlib builds may compress differently: compare the text
    assert (COMMITTED / "truth.json").read_text() == (tmp_path / "truth.json").read_text()


def test_the_committed_sample_is_small_and_shows_every_kind_of_bad_line() -> None:
    truth = json.loads((COMMITTED / "truth.json").read_text())
    assert truth["totals"]["lines"] == 60_000
    row = " | ".join(f"{truth['totals'][name]:,}" for name in TOTALS)
    assert f"| {row} |" in (COMMITTED / "README.md").read_text()
    assert set(truth["bad_lines_by_kind"]) == set(sample.REASONS)
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()) < 3_000_000
