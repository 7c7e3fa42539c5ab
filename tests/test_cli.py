"""The command line as its users meet it: what it prints where, how it ends, what it refuses.

Most tests call `main` in this process; what only a real process shows (imports, pipes, signals, a terminal)
starts one.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import gzip
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventmint import cli, contracts
from eventmint.cli import common
from eventmint.config import default_toml, known_keys, load_settings
from eventmint.lake import Lake, open_lake
from eventmint.serve.terminal import watching
from eventmint.values import Law

REPOSITORY = Path(__file__).resolve().parent.parent
LAWS = (
    "every line accounted for: 60,000 lines = 72 blank + 59,844 valid + 84 quarantined; "
    "59,844 valid = 55,783 events + 4,061 duplicates"
)
ESCAPE = "\x1b"
GOOD = {
    "timestamp": "2026-01-15T10:00:00.000Z",
    "user_id": "u1",
    "session_id": "s1",
    "event_type": "page_view",
    "product_id": "p1",
    "category": "Toys",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said where."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        parsed = json.loads(self.out)
        assert parsed["schema_version"] == 1
        return dict(parsed)

    @property
    def error(self) -> str:
        """The one line that an error is."""
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


Eventmint = Callable[..., Ended]


@pytest.fixture
def eventmint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Eventmint:
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: object) -> Ended:
        code = cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


def start(*args: object, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **options.pop("env", {})}
    command = [sys.executable, "-m", "eventmint.cli", *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}

    def heed_interrupts() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell switches it off for what it starts with &

    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no threads yet
        **pipes,
    )


def write_events(folder: Path, name: str, lines: Sequence[dict[str, Any] | str]) -> Path:
    """Write a gzipped file of lines that has not changed for a while."""
    path = folder / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# ---- the frame ---------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from eventmint.cli import main; code = main(['--help']);"
        "heavy = {'duckdb', 'pyarrow', 'pyiceberg', 'rich', 'isal'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: eventmint" in done.stdout


@pytest.mark.parametrize("command", cli.cli.commands)
def test_every_command_has_help_and_takes_json(command: str, eventmint: Eventmint) -> None:
    ended = eventmint(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert "--json" in ended.out
    assert len(cli.cli.commands[command].get_short_help_str(60)) > 10


def test_the_names_of_the_answers_are_those_of_the_contracts() -> None:
    assert common.ANSWERS == contracts.ANSWERS


def test_version_is_told(eventmint: Eventmint) -> None:
    assert re.fullmatch(r"eventmint \d+\.\d+\.\d+\n", eventmint("--version").out)


def test_without_a_command_there_is_help_on_stderr(eventmint: Eventmint) -> None:
    ended = eventmint()
    assert (ended.code, ended.out) == (2, "")
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["run", "--wrkers", "2"], "Did you mean '--workers'?"),
        (["show", "topproducts"], "Did you mean 'top_products'?"),
        (["show", "xyz"], "'top_products', 'category_performance'"),
        (["files", "--status", "landd"], "Did you mean 'landed'?"),
        (["show", "--from", "2026-13-01"], "'2026-13-01'"),
        (["show", "--from", "2026-01-15", "--to", "2026-01-15"], "--to must be later than --from"),
        (["run", "nowhere"], "'nowhere' does not exist"),
        (["run"], "data: no such source"),
        (["run", "--max-quarantine", "5"], "must lie between 0 and 1"),
        (["run", "--dedup", "colour"], "`quality.dedup` must be"),
        (["-C", "nowhere", "status"], "'nowhere' does not exist"),
        (["-C", "/dev/null", "status"], "'/dev/null' is not a folder"),
        (["--config", "nope.toml", "status"], "nope.toml: no such configuration file"),
        (["sample", "--bad-rate", "2"], "--bad-rate must be between 0 and 0.25"),
        (["sample", "--start", "yesterday"], "'yesterday' is not a time"),
        (["query"], "either a SELECT or -f FILE"),
        (["query", "-f", "nope.sql"], "No such file"),
        (["-q", "-v", "status"], "-q and -v exclude each other"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(args: list[str], said: str, eventmint: Eventmint) -> None:
    ended = eventmint(*args)
    assert (ended.code, ended.out) == (2, "")
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "-v" in args or ended.error == lines[0]


def test_an_error_with_json_is_a_document_of_one_line_on_stderr(eventmint: Eventmint) -> None:
    for args in (
        ["--json", "rnu"],
        ["status", "--json", "--bogus"],
        ["status", "--json"],
        ["query", "SELECT 1", "--format", "csv", "--json"],
    ):
        ended = eventmint(*args)
        assert ended.out == ""
        (line,) = ended.err.splitlines()
        parsed = json.loads(line)
        assert parsed["schema_version"] == 1
        assert parsed["error"]["exit_code"] == ended.code
        assert {"kind", "message", "hint"} < parsed["error"].keys()


def test_an_environment_variable_that_is_no_setting_is_refused(
    eventmint: Eventmint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTMINT_LAKE__ROT", "x")
    ended = eventmint("status")
    assert ended.code == 2
    assert "Did you mean `lake.root`?" in ended.error


@pytest.mark.parametrize("command", ["status", "show", "files", "quarantine", "verify", "query"])
def test_before_the_first_run_reading_says_what_to_do_and_makes_nothing(
    command: str, eventmint: Eventmint, tmp_path: Path
) -> None:
    ended = eventmint(command, *(["SELECT 1"] if command == "query" else []))
    assert (ended.code, ended.out) == (1, "")
    assert "Run `eventmint run SOURCE` first." in ended.error
    assert list(tmp_path.iterdir()) == []


def test_a_bug_is_one_line_without_v_and_a_traceback_with_v(
    eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Lake) -> None:
        raise KeyError("two\nlines")

    monkeypatch.setattr(Lake, "layers", fail)
    ended = eventmint("-C", sample_lake, "status")
    assert ended.code == 1
    assert ended.error == r"error: a bug in eventmint: KeyError: 'two\nlines'. See where with -v."
    ended = eventmint("-C", sample_lake, "-v", "status")
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].startswith("error: a bug")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.parquet"), "the disk is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "x.parquet"),
            "error: x.parquet: Permission denied.",
        ),
        (RuntimeError("IO Error: could not write: No space left on device"), "the disk is full"),
        (RuntimeError("Out of Memory Error: could not allocate"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("Failed to launch worker thread: Resource unavailable"), "not enough memory"),
    ],
)
def test_trouble_with_the_machine_is_told_as_such(
    trouble: Exception, said: str, eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Lake) -> None:
        raise trouble

    monkeypatch.setattr(Lake, "layers", fail)
    ended = eventmint("-C", sample_lake, "status")
    assert ended.code == 1
    assert said in ended.error


# ---- start -------------------------------------------------------------------------------------------


def test_init_writes_every_key_with_its_default_and_never_overwrites(
    eventmint: Eventmint, tmp_path: Path
) -> None:
    assert eventmint("init", "shop").code == 0
    config = tmp_path / "shop" / "eventmint.toml"
    assert config.read_text() == default_toml()
    settings, defaults = load_settings(config), load_settings(home=tmp_path / "shop")
    assert set(settings.origins) == set(known_keys())
    assert [getattr(settings, part) for part in ("source", "contract", "lake", "run", "quality")] == [
        getattr(defaults, part) for part in ("source", "contract", "lake", "run", "quality")
    ]
    assert (tmp_path / "shop" / "data").is_dir()

    config.write_text("# mine\n")
    again = eventmint("init", "shop", "--json")
    assert again.code == 0
    assert again.document["written"] is False
    assert config.read_text() == "# mine\n"


def test_sample_writes_events_and_their_truth(eventmint: Eventmint, tmp_path: Path) -> None:
    options = ("--num-files", 2, "--events-per-file", 50, "--workers", 1, "--truth", "truth.json")
    ended = eventmint("--json", "sample", *options)
    assert ended.code == 0
    assert ended.document["totals"]["lines"] == 100
    assert len(list(tmp_path.glob("generated-data/events/**/*.gz"))) == 2
    assert json.loads((tmp_path / "truth.json").read_text())["totals"] == ended.document["totals"]


def test_demo_of_a_clone_tells_the_answers_the_laws_and_the_truth_and_then_that_nothing_is_new(
    eventmint: Eventmint, tmp_path: Path
) -> None:
    (tmp_path / "sample-data").symlink_to(REPOSITORY / "sample-data")
    first = eventmint("demo")
    assert first.code == 0
    assert LAWS in first.out
    assert "equal to truth.json" in first.out
    assert "eventmint -C demo status" in first.err
    assert "demo/report.html" in first.err
    for answer in common.ANSWERS:
        assert f"\n{answer}  " in first.out
    before = listing(tmp_path / "demo")

    second = eventmint("demo")
    assert second.code == 0
    assert second.out == f"nothing is new; these are the answers\n{first.out}"
    assert listing(tmp_path / "demo") == before


def test_demo_without_a_clone_makes_its_own_data_and_ignores_other_settings(
    eventmint: Eventmint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTMINT_LAKE__ROOT", str(tmp_path / "precious"))
    (tmp_path / "eventmint.toml").write_text('[lake]\nroot = "precious"\n')
    ended = eventmint("demo", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert ended.document["differs_from_truth"] == []
    assert ended.document["run"]["lake"]["events"] == 55_783
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "eventmint.toml"]


def test_demo_without_what_draws_pages_says_what_to_install(
    eventmint: Eventmint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample-data").symlink_to(REPOSITORY / "sample-data")
    monkeypatch.setattr("eventmint.cli.start.find_spec", lambda _: None)
    ended = eventmint("demo")
    assert ended.code == 0
    assert "pip install 'eventmint[pages]'" in ended.err
    assert not (tmp_path / "demo" / "report.html").exists()


def test_funnel_counts_journeys_and_shows_those_with_most(eventmint: Eventmint, sample_lake: Path) -> None:
    told = eventmint("-C", str(sample_lake), "funnel", "--by", "category", "--top", "2")
    assert told.code == 0
    assert told.out.startswith("journeys of a session, 30m at most\n")
    assert told.out.count("page_view") == 2
    assert told.out.endswith("(2 of 12, most journeys first; more with --top)\n")
    rows = eventmint("-C", str(sample_lake), "--json", "funnel", "--by", "category").document["rows"]
    assert len(rows) == 3 * 12
    assert [row["event_type"] for row in rows[:3]] == ["page_view", "add_to_cart", "purchase"]


def test_funnel_without_journeys_says_so(eventmint: Eventmint, sample_lake: Path) -> None:
    told = eventmint("-C", str(sample_lake), "funnel", "--from", "2030-01-01")
    assert told.out == "No journey begins in this period. Choose other days or steps.\n"


def test_a_funnel_that_is_none_is_refused(eventmint: Eventmint, sample_lake: Path) -> None:
    refused = eventmint("-C", str(sample_lake), "funnel", "--steps", "page_view,buy")
    assert refused.code == 2
    assert refused.err.startswith("error: buy: no such event type. There are page_view, ")
    assert eventmint("-C", str(sample_lake), "funnel", "--window", "soon").code == 2


def test_retention_tells_who_came_again_and_marks_what_is_not_over(
    eventmint: Eventmint, sample_lake: Path
) -> None:
    told = eventmint("-C", str(sample_lake), "retention", "--by", "day")
    first, *_, last = told.out.splitlines()[1:]
    assert first.split()[:2] == ["2026-01-13", "3"]
    assert first.endswith("+")
    assert last.split()[0] == "2026-01-15"
    rows = eventmint("-C", str(sample_lake), "--json", "retention", "--by", "day").document["rows"]
    assert len(rows) == 6
    lake = open_lake(sample_lake / "eventmint.toml")
    users = "SELECT COUNT(DISTINCT user_id) AS n FROM gold.daily_users"
    assert sum(row["users"] for row in rows if row["number"] == 0) == lake.sql(users).to_pylist()[0]["n"]


def test_report_writes_one_file_and_says_where(
    eventmint: Eventmint, sample_lake: Path, tmp_path: Path
) -> None:
    file = tmp_path / "here.html"
    ended = eventmint("-C", str(sample_lake), "--json", "report", str(file))
    assert ended.code == 0
    assert ended.document["file"] == str(file)
    assert ended.document["bytes"] == file.stat().st_size
    told = eventmint("-C", str(sample_lake), "report", str(file))
    assert told.out.startswith(f"{file}: ")
    assert told.err == "next: open it in a browser\n"


def test_report_into_a_folder_that_is_not_there_is_refused(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", str(sample_lake), "report", "nowhere/r.html")
    assert ended.code == 2
    assert "nowhere/r.html: cannot be written: No such file or directory. Name another file." in ended.err


def test_demo_leaves_a_folder_alone_that_is_not_its_own(eventmint: Eventmint, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("important")
    ended = eventmint("demo")
    assert ended.code == 2
    assert "holds something else" in ended.error


def test_demo_fails_when_the_lake_is_not_what_the_truth_says(eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path / "demo", "events/year=2026/a.jsonl.gz", [GOOD])
    (tmp_path / "demo" / "eventmint.toml").write_text("[run]\nworkers = 1\n")
    truth = {
        "files": [{"path": "events/year=2026/a.jsonl.gz", "lines": 1}],
        "totals": {"lines": 1, "events": 2},
        "quarantined_by_reason": {},
        "answers": {"user_activity": [{"event_date": "2026-01-15", "unique_users": 7}]},
    }
    (tmp_path / "demo" / "data" / "truth.json").write_text(json.dumps(truth))
    ended = eventmint("-q", "demo")
    assert ended.code == 1
    assert "not what truth.json says: totals, user_activity" in ended.error


# ---- run ---------------------------------------------------------------------------------------------


def test_a_second_run_says_that_nothing_is_new_and_touches_no_file(
    eventmint: Eventmint, tmp_path: Path
) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD, GOOD, {**GOOD, "user_id": "u2"}, ""])
    first = eventmint("run", "--json", "--workers", "1")
    assert first.code == 0
    report = first.document
    assert (report["changed"], report["laws_hold"], report["files_landed"]) == (True, True, 1)
    assert report["totals"]["events"] == 2
    before = listing(tmp_path)

    second = eventmint("run")
    assert second.code == 0
    assert second.out.startswith("nothing is new")
    assert "3 lines = 0 blank + 3 valid + 0 quarantined; 3 valid = 2 events + 1 duplicate" in second.out
    assert second.err == ""
    assert listing(tmp_path) == before


def test_a_run_tells_its_stages_on_stderr_and_its_result_on_stdout(
    eventmint: Eventmint, tmp_path: Path
) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD])
    ended = eventmint("run", "--workers", "1")
    assert [line.split()[0] for line in ended.err.splitlines()] == ["bronze", "silver", "gold"]
    assert "1 file landed" in ended.out
    assert "1 line: 1 new event, 0 duplicates, 0 quarantined, 0 blank" in ended.out


def test_more_quarantine_than_allowed_ends_with_3_and_names_the_leading_reasons(
    eventmint: Eventmint, tmp_path: Path
) -> None:
    bad = [{**GOOD, "user_id": None}] * 3 + ["not json"] * 2
    write_events(tmp_path, "a.jsonl.gz", [GOOD, *bad])
    ended = eventmint("-q", "run", "--workers", "1")
    assert ended.code == 3
    assert "5 of 6 lines are quarantined (83.33%, allowed are 1.00%)" in ended.error
    assert "mostly user_id_missing 3, json_invalid 2." in ended.error
    assert "published" in ended.error
    assert eventmint("show", "--json").document["answers"]["user_activity"][0]["events"] == 1

    write_events(tmp_path, "b.jsonl.gz", [{**GOOD, "user_id": "u2"}, "not json"])
    ended = eventmint("run", "--json", "--max-quarantine", "0.4")
    assert ended.code == 3
    assert ended.document["quarantined_by_reason"] == {"json_invalid": 1}
    assert json.loads(ended.err)["error"]["kind"] == "QuarantineAboveLimit"

    write_events(tmp_path, "c.jsonl.gz", [{**GOOD, "user_id": "u3"}, "not json, but allowed"])
    ended = eventmint("-q", "run", "--max-quarantine", "0.5")
    assert (ended.code, ended.err) == (0, "")
    assert "1 file landed" in ended.out


def test_what_a_run_leaves_out_is_named_and_made_safe(eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD])
    (tmp_path / "data" / f"evil{ESCAPE}[31m.jsonl.gz").write_bytes(b"not gzip")
    (tmp_path / "data" / "link.jsonl.gz").symlink_to("a.jsonl.gz")
    ended = eventmint("run", "--workers", "1")
    assert ended.code == 0
    assert re.search(
        r"^set aside: .*evil\\x1b\[31m\.jsonl\.gz: not_gzip; pack it with `gzip`$", ended.err, re.MULTILINE
    )
    assert re.search(r"^skipped: .*link\.jsonl\.gz: symlink$", ended.err, re.MULTILINE)
    assert ESCAPE not in ended.err + ended.out

    only = eventmint("files", "--status", "set_aside", "--json").document
    assert [(file["status"], file["reason"]) for file in only["files"]] == [("set_aside", "not_gzip")]


def test_a_source_in_which_nothing_fits_gets_a_hint(eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path, "a.json.gz", [GOOD])
    ended = eventmint("run", "data")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "hint: no file below data matches **/*.jsonl.gz; name another folder or set source.pattern",
        "hint: 1 file is there that no run reads, such as a.json.gz; events come gzipped",
    ]
    (tmp_path / "empty").mkdir()
    assert len(eventmint("run", "empty").err.splitlines()) == 1


def test_an_empty_lake_says_so_instead_of_asking_for_other_days(eventmint: Eventmint, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert eventmint("run").code == 0
    assert eventmint("show").out.startswith("No events yet. ")
    assert eventmint("show", "--to", "2026-01-15").out.startswith("No events in this period. ")
    assert eventmint("quarantine").out == "no line in quarantine\n"


def test_one_of_a_thing_is_not_told_in_the_plural(eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD, GOOD])
    ended = eventmint("run", "--workers", "1")
    assert ended.err.splitlines()[1].startswith("silver    1 event, 1 duplicate, ")
    assert "\n2 lines: 1 new event, 1 duplicate, 0 quarantined, 0 blank\n" in ended.out
    assert ended.out.endswith("2 valid = 1 event + 1 duplicate\n")
    write_events(tmp_path, "b.jsonl.gz", [GOOD])
    ended = eventmint("run", "--workers", "1")
    assert ended.err.splitlines()[0].startswith("bronze    1 line, ")
    ended = eventmint("sample", "--num-files", "1", "--events-per-file", "100")
    assert ended.out.startswith("1 file in ")


def test_a_source_that_cannot_be_read_leaves_no_lake(
    eventmint: Eventmint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eventmint.storage.s3 import s3_client

    s3_client.cache_clear()
    monkeypatch.setitem(sys.modules, "boto3", None)  # as where the extra is not installed
    ended = eventmint("run", "s3://bucket/events/")
    assert (ended.code, "pip install 'eventmint[aws]'" in ended.error) == (2, True)
    assert [*tmp_path.iterdir()] == []


def test_every_command_says_its_first_sentence_whole_in_the_list(eventmint: Eventmint) -> None:
    groups = [
        [],
        *([name] for name, command in cli.frame.cli.commands.items() if hasattr(command, "commands")),
    ]
    for group in groups:
        said = " ".join(eventmint(*group, "--help").out.split())
        assert "..." not in said.partition(" Commands: ")[2], group


def test_a_day_in_another_form_is_answered_with_the_right_one(eventmint: Eventmint) -> None:
    for command in ("show", "funnel", "restate"):
        ended = eventmint(command, "--from", "15.1.2026")
        assert ended.error == (
            "error: Invalid value for '--from': '15.1.2026' is no day; write it as 2026-01-15. "
            f"See `eventmint {command} --help`."
        )


def test_a_reason_that_is_none_leads_to_the_list_of_reasons(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", sample_lake, "quarantine", "--reason", "zzz")
    assert ended.err == ("no line has the reason zzz. See `eventmint quarantine` for those that there are.\n")


def test_a_name_that_is_nearly_right_in_sql_is_answered_with_the_right_one(
    eventmint: Eventmint, sample_lake: Path
) -> None:
    ended = eventmint("-C", sample_lake, "query", "SELECT view_cnt FROM top_products")
    assert 'Candidate bindings: "view_count"' in ended.error
    ended = eventmint("-C", sample_lake, "query", "SELECT 1 FROM gold.top_product")
    assert 'Did you mean "' in ended.error
    assert 'top_products"?' in ended.error


def test_lines_of_a_replaced_file_stay_accounted_for(eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD, {**GOOD, "user_id": "u2"}])
    assert eventmint("run", "--workers", "1").code == 0
    write_events(tmp_path, "a.jsonl.gz", [GOOD])
    ended = eventmint("run", "--workers", "1")
    assert "1 event fewer" in ended.out
    assert (
        "every line accounted for: 3 lines = 0 blank + 1 valid + 0 quarantined + 2 of replaced files"
        in ended.out
    )


@pytest.mark.parametrize("command", [["run", "data"], ["verify"]])
def test_a_lake_in_use_ends_with_4(command: list[str], eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD])
    assert eventmint("run", "--workers", "1").code == 0
    with (tmp_path / "lake" / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = eventmint(*command)
        assert eventmint("status").code == 0
    assert ended.code == 4
    assert "another run is at work" in ended.error


def test_ctrl_c_ends_with_130_and_the_next_run_finishes(eventmint: Eventmint, tmp_path: Path) -> None:
    options = (
        "--num-files",
        8,
        "--events-per-file",
        75_000,
        "--output-dir",
        "data",
    )  # worth worker processes
    assert eventmint("-q", "sample", *options).code == 0
    running = start("run", "--workers", 2, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("lake/.scratch/*/*.partial")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the command and to its workers
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "error: interrupted: what was published is in place. Run it again."

    ended = eventmint("run", "--json")
    assert ended.code == 0
    assert ended.document["laws_hold"] is True
    assert ended.document["lake"]["lines"] == 600_000


# ---- serve -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_where_it_says_until_it_is_told_to_stop(
    sample_lake: Path, sign: signal.Signals
) -> None:
    running = start("serve", "--port", 0, "--json", cwd=sample_lake)
    assert running.stdout
    url = json.loads("".join(running.stdout.readline() for _ in range(4)))["url"]
    with urllib.request.urlopen(f"{url}api/v1/trust") as reply:  # noqa: S310 - our own
        assert json.load(reply)["accounted"] is True
    running.send_signal(sign)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, "")


def test_serve_lets_other_machines_in_only_with_a_flag_and_a_token(
    eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventmint.serve.dashboard.server.serve", lambda *_: None)
    refused = eventmint("-C", sample_lake, "serve", "--host", "0.0.0.0")  # noqa: S104
    assert refused.code == 2
    assert "0.0.0.0: other machines could reach the dashboard there. Add --allow-remote" in refused.error
    monkeypatch.setenv("EVENTMINT_TOKEN", "short")
    refused = eventmint("-C", sample_lake, "serve", "--allow-remote")
    assert (refused.code, "EVENTMINT_TOKEN is no token" in refused.error) == (2, True)
    monkeypatch.setenv("EVENTMINT_TOKEN", "sixteen+letters/")
    ended = eventmint("-C", sample_lake, "serve", "--allow-remote", "--port", 0)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=sixteen%2Bletters%2F\n", ended.out)
    monkeypatch.delenv("EVENTMINT_TOKEN")
    tokens = {
        eventmint("-C", sample_lake, "serve", "--allow-remote", "--port", 0).out.partition("token=")[2]
        for _ in range(2)
    }
    assert len(tokens) == 2
    assert all(len(token.strip()) >= 43 for token in tokens)


def test_serve_opens_the_browser_only_if_asked(
    eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("eventmint.serve.dashboard.server.serve", lambda *_: None)
    assert eventmint("-C", sample_lake, "serve", "--port", 0).code == 0
    assert opened == []
    ended = eventmint("-C", sample_lake, "serve", "--port", 0, "--open")
    assert [f"{url}\n" for url in opened] == [ended.out]


def test_serve_starts_without_what_reads_a_lake(sample_lake: Path) -> None:
    heavy = ("eventmint.lake", "pyiceberg", "sqlalchemy", "boto3")
    program = (
        "import sys; from eventmint import cli; import eventmint.serve.dashboard.server as server;"
        "server.serve = lambda *_: print([name for name in sys.argv[1:] if name in sys.modules]);"
        "cli.main(['serve', '--port', '0'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    ended = subprocess.run(
        [sys.executable, "-c", program, *heavy],
        cwd=sample_lake,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    address, loaded = ended.stdout.splitlines()
    assert (address[:17], loaded) == ("http://127.0.0.1:", "[]")


def test_serve_refuses_a_port_that_is_taken_and_a_lake_without_answers(
    eventmint: Eventmint, sample_lake: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = eventmint("-C", sample_lake, "serve", "--port", taken.getsockname()[1])
    assert (ended.code, "cannot listen there" in ended.error) == (2, True)
    ended = eventmint("-C", tmp_path, "serve")
    assert (ended.code, "nothing has been published yet" in ended.error) == (1, True)


# ---- look --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["status"], {"layers", "files", "newest_event", "totals", "last_run", "laws_hold"}),
        (["show"], {"from", "to", "answers"}),
        (["show", "top_products", "--from", "2026-01-15"], {"from", "to", "answers"}),
        (["files"], {"count", "below", "files"}),
        (["quarantine"], {"quarantined", "reasons"}),
        (["quarantine", "--reason", "json_invalid"], {"reason", "count", "lines"}),
        (["query", "SELECT 1 AS one"], {"columns", "rows", "truncated", "title"}),
        (["verify"], {"laws_hold", "laws"}),
        (
            ["maintain", "--dry-run"],
            {"tables", "is_complete", "dry_run", "damaged", "rows_retained", "seconds", "changed"},
        ),
        (["doctor"], {"healthy", "checks", "settings"}),
    ],
)
def test_with_json_stdout_is_one_document_and_stderr_is_silent(
    args: list[str], keys: set[str], eventmint: Eventmint, sample_lake: Path
) -> None:
    ended = eventmint("-C", sample_lake, "--json", *args)
    assert (ended.code, ended.err) == (0, "")
    assert ended.document.keys() == keys | {"schema_version"}


def test_status_tells_rows_books_and_laws(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", sample_lake, "status")
    assert re.search(r"^silver.events_cleaned +55,783 ", ended.out, re.MULTILINE)
    assert re.search(r"^laws +hold$", ended.out, re.MULTILINE)
    assert LAWS in ended.out


def test_show_tells_the_five_answers_within_80_columns(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", sample_lake, "show")
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert ended.out.startswith("2026-01-13 to 2026-01-15 UTC, 3 days with events\n")
    for line in (
        r"views +39,453  █{20}",
        r"purchases +2,204  █▏ +42\.1% of carts, 5\.6% of views",
        r"10:00  98,375\.47 +1,133  1,419  █{20}",
        r" ?1  p-00217  Sports +3,011  █{20}",
        r"Grocery +7,731 .*█+▉",
        r"2026-01-15  3,877 +9,632  55,736  █{20}",
    ):
        assert re.search(f"^{line}$", ended.out, re.MULTILINE), line


def test_show_obeys_days_and_top(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint(
        "-C", sample_lake, "show", "user_activity", "--from", "2026-01-14", "--to", "2026-01-15"
    )
    assert ended.out.startswith("2026-01-14 UTC\n")
    assert "2026-01-15" not in ended.out
    ended = eventmint("-C", sample_lake, "show", "top_products", "--top", "2")
    assert "(2 of 220 products)" in ended.out
    assert "p-00054" not in ended.out
    ended = eventmint("-C", sample_lake, "show", "--from", "2030-01-01")
    assert ended.out == "No events in this period. Choose other days with --from and --to.\n"
    rows = eventmint("-C", sample_lake, "--json", "show", "hourly_revenue", "--to", "2026-01-15").document
    assert rows["answers"]["hourly_revenue"] == [
        {
            "event_date": "2026-01-13",
            "event_hour": 12,
            "total_revenue": "58.980000",
            "transaction_count": 1,
            "units": 2,
        }
    ]


def test_show_of_a_lake_without_purchases_divides_by_nothing(eventmint: Eventmint, tmp_path: Path) -> None:
    write_events(tmp_path, "a.jsonl.gz", [{**GOOD, "event_type": "remove_from_cart", "quantity": 1}])
    assert eventmint("run", "-q", "--workers", "1").code == 0
    ended = eventmint("show")
    assert (ended.code, ended.err) == (0, "")
    assert "no purchases" in ended.out


def test_files_lists_what_became_of_each(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", sample_lake, "files")
    assert ended.out.splitlines()[-1] == "24 files"
    assert (
        "hour=10/minute=00/events-20260115-100000.jsonl.gz  landed  -       2,500      3  2,494" in ended.out
    )


def test_quarantine_counts_by_reason_and_shows_the_lines(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", sample_lake, "quarantine")
    assert ended.out.startswith("84 lines in quarantine")
    assert re.search(r"^json_invalid +9 ", ended.out, re.MULTILINE)
    ended = eventmint("-C", sample_lake, "quarantine", "--reason", "json_invalid", "--limit", "2")
    assert ended.err == "(2 of 9 lines; more with --limit)\n"
    assert re.search(r"events-20260115-103500\.jsonl\.gz:820  json_invalid$", ended.out, re.MULTILINE)
    ended = eventmint("-C", sample_lake, "quarantine", "--reason", "jsn_invalid")
    assert (ended.code, ended.out) == (0, "")
    assert "Did you mean json_invalid?" in ended.err


def test_a_quarantined_line_that_is_not_utf8_comes_whole_in_json(
    eventmint: Eventmint, sample_lake: Path
) -> None:
    (line,) = eventmint("-C", sample_lake, "--json", "quarantine", "--reason", "not_utf8").document["lines"]
    assert r"\xff" in line["raw"]
    assert line["raw_base64"]


def test_hostile_text_is_shown_never_executed(eventmint: Eventmint, tmp_path: Path) -> None:
    evil = f"{ESCAPE}[31mred{ESCAPE}]0;title\x07\x9b2J\u202e\r\nnext"
    safe = r"\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\r\nnext"
    write_events(
        tmp_path, "a.jsonl.gz", [{**GOOD, "product_id": evil, "category": evil}, f"{ESCAPE}[2J not json"]
    )
    assert eventmint("run", "-q", "--workers", "1").code == 3
    for args in (
        ["show"],
        ["show", "top_products"],
        ["query", "SELECT product_id, category FROM silver.events_cleaned"],
        ["query", f'SELECT 1 AS "{ESCAPE}[31m"'],
        ["query", f'TABLE "{ESCAPE}[31m"'],
        ["quarantine", "--reason", "json_invalid"],
        ["quarantine", "--reason", f"{ESCAPE}[31m"],
        ["show", f"{ESCAPE}[31m"],
        ["--json", "query", "SELECT product_id FROM silver.events_cleaned"],
    ):
        ended = eventmint(*args)
        shown = (ended.out + ended.err).replace("\n", "")
        assert shown.isprintable(), args
    assert safe in eventmint("show", "top_products").out
    assert eventmint("--json", "query", "SELECT product_id FROM top_products").document["rows"] == [
        {"product_id": evil}
    ]


# ---- ask ---------------------------------------------------------------------------------------------


def test_query_prints_a_table_with_rates_of_four_decimals_and_null_by_name(
    eventmint: Eventmint, sample_lake: Path
) -> None:
    sql = (
        "SELECT DECIMAL '1.500' AS money, NULL AS nothing, 1 / 8.1 AS rate, 'x' AS word, SUM(views) AS n "
        "FROM conversion_funnel"
    )
    assert eventmint("-C", sample_lake, "query", sql).out == (
        "money  nothing    rate  word      n\n1.500  NULL     0.1235  x     39453\n"
    )


def test_query_prints_json_exactly(eventmint: Eventmint, sample_lake: Path) -> None:
    sql = (
        "SELECT DECIMAL '1.500' AS money, NULL AS nothing, 0.1::DOUBLE AS rate, 'nan'::DOUBLE AS odd, "
        "TIMESTAMPTZ '2026-01-15 12:00+02' AS instant, DATE '2026-01-15' AS day, [1, 2] AS list, "
        "'infinity'::TIMESTAMP AS far"
    )
    ended = eventmint("-C", sample_lake, "query", "--format", "json", sql)
    assert ended.document["rows"] == [
        {
            "money": "1.500",
            "nothing": None,
            "rate": 0.1,
            "odd": "nan",
            "instant": "2026-01-15T10:00:00Z",
            "day": "2026-01-15",
            "list": [1, 2],
            "far": ended.document["rows"][0]["far"],
        }
    ]
    lines = eventmint(
        "-C", sample_lake, "query", "--format", "jsonl", "SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a"
    )
    assert lines.out == '{"a": 1}\n{"a": 2}\n'


def test_query_prints_csv_that_no_spreadsheet_runs(eventmint: Eventmint, sample_lake: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'plain, "quoted"', "two\nlines"]
    columns = ", ".join("'" + text + f"' AS c{n}" for n, text in enumerate(texts))
    numbers = "-1 AS number, (-1.5)::DECIMAL(5, 2) AS money, NULL AS nothing, 2.0::DOUBLE / 3 AS rate"
    sql = f'SELECT {columns}, {numbers}, 1 AS "=x"'
    ended = eventmint("-C", sample_lake, "query", "--format", "csv", sql)
    assert ended.out.endswith("\r\n")
    head, row = csv.reader(io.StringIO(ended.out, newline=""))
    assert row[:8] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", 'plain, "quoted"', "two\nlines"]
    assert row[8:] == ["-1", "-1.50", "", "0.6666666666666666", "1"]
    assert head[-1] == "'=x"


def test_query_says_when_there_are_more_rows_than_shown(eventmint: Eventmint, sample_lake: Path) -> None:
    ended = eventmint("-C", sample_lake, "query", "SELECT * FROM range(1000000000)")
    assert len(ended.out.splitlines()) == 101
    assert ended.err == "(100 rows shown, there are more: --limit N, 0 for all)\n"
    ended = eventmint("-C", sample_lake, "query", "--limit", "0", "SELECT * FROM range(150)")
    assert (len(ended.out.splitlines()), ended.err) == (151, "")
    ended = eventmint("-C", sample_lake, "query", "--json", "--limit", "3", "SELECT * FROM range(150)")
    assert (len(ended.document["rows"]), ended.document["truncated"]) == (3, True)
    ended = eventmint("-C", sample_lake, "query", "--limit", "3", "SELECT 1 WHERE false")
    assert (ended.out, ended.err) == ("1\n", "")


def test_query_runs_a_file_of_statements_each_under_its_comment(
    eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = eventmint("-C", sample_lake, "query", "-f", REPOSITORY / "queries.sql")
    assert ended.code == 0
    headings = [line for line in ended.out.splitlines() if re.match(r"\d\. ", line)]
    assert headings[2] == "3. Top products: which ten products are looked at most?"
    assert len(headings) == 5
    results = eventmint("-C", sample_lake, "--json", "query", "-f", REPOSITORY / "queries.sql").document[
        "results"
    ]
    assert [result["title"] for result in results] == headings
    assert len(results[0]["rows"]) == 220

    ended = eventmint("-C", sample_lake, "query", "--format", "csv", "-f", REPOSITORY / "queries.sql")
    assert ended.code == 2
    assert "csv holds one result" in ended.error
    monkeypatch.setattr("sys.stdin", io.StringIO("-- one\nSELECT 1 AS a;"))
    assert eventmint("-C", sample_lake, "query", "-f", "-").out == "one\na\n1\n"


def test_query_with_two_columns_of_one_name_is_refused_in_json_only(
    eventmint: Eventmint, sample_lake: Path
) -> None:
    assert eventmint("-C", sample_lake, "query", "SELECT 1 AS a, 2 AS a").out == "a  a\n1  2\n"
    ended = eventmint("-C", sample_lake, "query", "--format", "json", "SELECT 1 AS a, 2 AS a")
    assert ended.code == 2
    assert "Two columns are called `a`." in ended.err


@pytest.mark.parametrize(
    "sql",
    [
        "",
        ";",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "SELECT * FROM nothing",
        "SELECT * FROM statement",
        "COPY (SELECT 1) TO 'stolen'",
        "COPY gold.user_activity FROM '/etc/passwd'",
        "ATTACH 'stolen'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA version",
        "SET threads = 1",
        "RESET ALL",
        "USE memory",
        "CALL pragma_version()",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen'",
        "CREATE TABLE stolen AS SELECT 1",
        "CREATE TEMP TABLE stolen AS SELECT 1",
        "INSERT INTO gold.user_activity SELECT * FROM gold.user_activity",
        "DELETE FROM gold.user_activity",
        "DROP TABLE gold.user_activity",
        "EXPORT DATABASE 'stolen'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd') AS bronze",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT getenv('HOME')",
    ],
)
def test_query_refuses_all_but_one_select_over_the_lake(
    sql: str, eventmint: Eventmint, sample_lake: Path
) -> None:
    before = listing(sample_lake)
    ended = eventmint("-C", sample_lake, "query", sql)
    assert (ended.code, ended.out) == (2, "")
    assert "root:" not in ended.error
    assert listing(sample_lake) == before


# ---- check -------------------------------------------------------------------------------------------


def test_verify_proves_every_law_and_fails_on_a_broken_one(
    eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = eventmint("-C", sample_lake, "verify")
    assert ended.code == 0
    assert "equations checked: all hold" in ended.out

    broken = Law("money", "gold.hourly_revenue 2026-01-15", "sum of revenue = silver amount", 7, 9)
    monkeypatch.setattr(Lake, "verify", lambda _, **_options: (broken,))
    ended = eventmint("-C", sample_lake, "verify")
    assert ended.code == 1
    assert (
        "BROKEN  gold.hourly_revenue 2026-01-15: sum of revenue = silver amount: 7 = 9 broken by -2"
        in ended.out
    )
    assert "1 equations checked: 1 are broken" in ended.out
    assert eventmint("-C", sample_lake, "verify", "--json").document["laws_hold"] is False


def test_doctor_says_what_is_broken_with_its_cure(eventmint: Eventmint, sample_lake: Path) -> None:
    healthy = eventmint("-C", sample_lake, "doctor")
    assert healthy.code == 0
    assert re.search(r"^source\.path .*sample-data .*eventmint\.toml$", healthy.out, re.MULTILINE)
    assert re.search(r"^lake\.root +lake +default$", healthy.out, re.MULTILINE)

    sick = eventmint("doctor")
    assert sick.code == 1
    assert re.search(r"^BROKEN  source .*data: not there\. Set source\.path", sick.out, re.MULTILINE)


# ---- pipes and terminals -----------------------------------------------------------------------------


def test_a_reader_that_stops_reading_is_no_error(sample_lake: Path) -> None:
    asked = start("query", "--format", "csv", "SELECT * FROM range(2000000)", cwd=sample_lake)
    assert asked.stdout
    assert asked.stderr
    assert asked.stdout.readline() == "range\n"
    asked.stdout.close()
    said = asked.stderr.read()
    asked.stderr.close()
    assert (asked.wait(timeout=30), said) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="optional: no /dev/full here")
def test_a_result_that_cannot_be_written_is_an_error(sample_lake: Path) -> None:
    with Path("/dev/full").open("w") as full:
        _, said = (asked := start("status", cwd=sample_lake, stdout=full)).communicate(timeout=30)
    assert asked.returncode == 1
    assert said.startswith("error: the disk is full")
    assert len(said.splitlines()) == 1


def test_colour_comes_only_where_it_is_wanted(
    eventmint: Eventmint, sample_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = eventmint("-C", sample_lake, "show").out
    assert ESCAPE not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = eventmint("-C", sample_lake, "show").out
    assert f"{ESCAPE}[36m" in coloured
    assert re.sub(rf"{ESCAPE}\[[0-9;]*m", "", coloured).replace(" \n", "\n").split() == plain.split()
    monkeypatch.setenv("NO_COLOR", "1")
    assert f"{ESCAPE}[36m" not in eventmint("-C", sample_lake, "show").out


def test_on_a_terminal_a_run_moves_a_bar_and_leaves_a_line_per_stage(tmp_path: Path) -> None:
    write_events(tmp_path, "a.jsonl.gz", [GOOD])
    shown, out = in_terminal("run", "--workers", 1, cwd=tmp_path)
    assert re.search(rf"bronze +{ESCAPE}\[\d+m━", shown)
    assert re.search(r"bronze +1 line, \d+\.\d s\r\n", shown)
    assert shown.rstrip().endswith(f"{ESCAPE}[?25h")  # the cursor is back
    assert ESCAPE not in out


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "dumb")
    with watching(shown := Terminal()) as progress:
        for lines in (1_000, 2_000):  # the second batch comes too soon for lines of its own
            progress.start("bronze", 1, 100)
            progress.advance(1, 100, lines)
            progress.finish("bronze", f"{lines:,} lines")
        progress.finish("gold", "3 days")
    assert re.fullmatch(r"bronze    1,000 lines, \d+\.\d s\ngold      3 days, \d+\.\d s\n", shown.getvalue())


def test_a_stage_that_lasts_is_told_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 4))
    monkeypatch.setattr("eventmint.serve.terminal.time.monotonic", lambda: next(clock))
    with watching(shown := io.StringIO()) as progress:
        progress.start("bronze", 10, 1_000)
        for _ in range(10):
            progress.advance(1, 100, 5_000)
    lines = shown.getvalue().splitlines()
    assert 1 < len(lines) < 10
    told = re.compile(r"bronze    \d+/10 files  [\d.]+K? lines/s  eta \d+:\d\d")
    assert all(told.fullmatch(line) for line in lines)


def in_terminal(*args: object, cwd: Path) -> tuple[str, str]:
    """Return what a command shows on a terminal (its stderr) and what it writes into a pipe (its stdout)."""
    outer, inner = pty.openpty()
    started = start(*args, cwd=cwd, stderr=inner, env={"TERM": "xterm", "COLUMNS": "80"})
    os.close(inner)
    shown = b""
    while True:
        try:
            piece = os.read(outer, 65_536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(outer)
    out, _ = started.communicate(timeout=30)
    assert started.returncode == 0
    return shown.decode(), out
