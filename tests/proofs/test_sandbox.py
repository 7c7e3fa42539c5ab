"""`query` is a sandbox: no statement touches a file or changes anything, and none holds the machine.

After every portion of statements the whole home of the lake (tables, catalog, database, a canary beside them)
is compared by content, and the rows that came back must not hold what lies in the canary. Where strace is at
hand, the kernel tells for a sample what was opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from deliveries import Shop, random_events
from proofs import statements
from proofs.forms import Proof

from eventmint.errors import FixSettings
from eventmint.serve.answers import select
from eventmint.serve.limits import Limits

PORTIONS = 4
ORDINARY = Limits(10, 500)
SECONDS, MEMORY_MB = 0.5, 200
WATCHED = "open,openat,openat2,creat,connect,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("sandbox") / 'it\'s; a "home"')
    made.deliver("first", *random_events(Random(1), 200), b"no event")
    made.run()
    canary = made.folder / "canary" / "canary.txt"
    canary.parent.mkdir()
    canary.write_text(f"{statements.CANARY},1\n")
    return made


@pytest.fixture(scope="module")
def places(shop: Shop) -> dict[str, str]:
    """What the names in the statements stand for."""
    own = select(shop.database, "SELECT location FROM ops.files WHERE table_name = 'bronze.events'", 1)
    paths = {
        "new": shop.folder / "new.csv",
        "canary": shop.folder / "canary" / "canary.txt",
        "own": own["location"][0].as_py(),
        "lake": shop.folder / "lake",
        "db": shop.database,
    }
    return {name: str(path).replace("'", "''") for name, path in paths.items()}


def contents_of(folder: Path) -> dict[str, str]:
    """Everything below a folder by content and time of change."""
    found = {}
    for path in folder.rglob("*"):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        found[str(path)] = f"{path.stat().st_mtime_ns} {content}"
    return found


def refusal(shop: Shop, statement: str, limit: int | None, limits: Limits) -> str | None:
    """Return why a statement was refused; None where it was answered, and then with nothing secret."""
    try:
        rows = select(shop.database, statement, limit, limits)
    except FixSettings as err:
        return str(err)
    told = str(rows)
    assert statements.CANARY not in told, statement
    assert "root:" not in told, statement
    return None


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_no_hostile_statement_reads_a_file_or_changes_anything(
    portion: int,
    shop: Shop,
    places: dict[str, str],
    proof: Proof,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text(f"{statements.CANARY}\n")
    before = contents_of(shop.folder), contents_of(tmp_path)
    tried = statements.refused()[portion::PORTIONS]
    for statement in tried:
        reason = refusal(shop, statement.format_map(places), 50, ORDINARY)
        assert reason, statement
        assert "\n" not in reason, statement
        listing = sorted(path.name for folder in (shop.folder, tmp_path) for path in folder.iterdir())
        assert listing == ["analytics.duckdb", "canary", "lake", "source", "x.csv"], statement
    assert (contents_of(shop.folder), contents_of(tmp_path)) == before
    proof.tried("hostile statements that were refused and left no trace", len(tried))


def test_what_may_be_answered_leaves_no_trace_either(
    shop: Shop, places: dict[str, str], proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents_of(shop.folder)
    for statement in statements.allowed():
        for limit in (None, 3):
            refusal(shop, statement.format_map(places), limit, ORDINARY)
        assert contents_of(shop.folder) == before, statement
    assert [*tmp_path.iterdir()] == []
    proof.tried("curious statements that left no trace", len(statements.allowed()))


def test_the_kernel_saw_no_file_written_and_none_read_but_the_lakes_own(
    shop: Shop, places: dict[str, str], proof: Proof, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    texts = [
        text.format_map(places)
        for text in proof.random("traced").sample(statements.refused(), proof.times(60, 400))
    ]
    trace, asked = tmp_path / "trace", tmp_path / "statements"
    asked.write_text("\0".join(text.replace("\0", " ") for text in texts))
    watch = ["strace", "-f", "-o", str(trace), "-e", f"trace={WATCHED}"]
    ended = subprocess.run(
        [*watch, sys.executable, "-c", _ASK_ALL, str(shop.database), str(asked)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    if "ptrace" in ended.stderr and not ended.stdout:
        pytest.skip("needs the right to trace a process")
    assert ended.stdout.split() == ["refused"] * len(texts), ended.stderr[-500:]
    calls = trace.read_text(errors="replace").split("statements begin", 1)[1].splitlines()
    touched = [call for call in calls if '"' in call and "ENOENT" not in call]
    assert len([call for call in touched if str(shop.database).replace('"', '\\"') in call]) >= len(texts)
    assert [call for call in touched if re.search("O_WRONLY|O_RDWR|O_CREAT|unlink|rename|mkdir", call)] == []
    assert [call for call in calls if re.search("/etc/passwd|/canary/|AF_INET", call)] == []
    proof.tried("hostile statements watched by strace", len(texts))


# The library is loaded by a first question; an impossible path then marks the start in the trace.
_ASK_ALL = """
import os, sys
from pathlib import Path
from eventmint.errors import FixSettings
from eventmint.serve.answers import select
database, texts = Path(sys.argv[1]), Path(sys.argv[2]).read_text().split("\\0")
select(database, "SELECT 1")
try:
    os.open("/statements begin", os.O_RDONLY)
except OSError:
    pass
for text in texts:
    try:
        select(database, text, 50)
        print("answered")
    except FixSettings:
        print("refused")
"""


@pytest.mark.parametrize("name", statements.BOMBS)
def test_a_bomb_is_stopped_in_time_and_memory(name: str, shop: Shop, proof: Proof) -> None:
    before = contents_of(shop.folder)
    for limit in (None, 100):
        started = time.monotonic()
        reason = refusal(shop, statements.BOMBS[name], limit, Limits(SECONDS, MEMORY_MB))
        assert "\n" not in (reason or ""), name
        assert time.monotonic() - started < 20 * SECONDS, name  # the machine is shared
    assert contents_of(shop.folder) == before
    proof.tried("bombs stopped in time and memory")


@pytest.mark.parametrize("name", statements.DEAF_BOMBS)
def test_a_bomb_that_heeds_no_interrupt_ends_with_its_process(
    name: str, shop: Shop, proof: Proof, tmp_path: Path
) -> None:
    if not proof.is_long and name not in statements.QUICK_DEAF_BOMBS:
        pytest.skip("optional: the long form tries it")
    (tmp_path / "eventmint.toml").write_text(
        f"[lake]\nroot = '''{shop.folder / 'lake'}'''\ndatabase = '''{shop.database}'''\n"
        f"[query]\nmax_seconds = {SECONDS}\nmemory_mb = {MEMORY_MB}\n"
    )
    command = [sys.executable, "-m", "eventmint.cli", "-C", str(tmp_path), "query"]
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path / "peak"), *command, statements.DEAF_BOMBS[name]],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, ""), name
    limits = Limits(SECONDS, MEMORY_MB)
    assert ended.stderr in {f"error: {limits.overtime()}\n", f"error: {limits.too_large()}\n"}, name
    # Its own 150, what DuckDB and a result may hold, and a gigabyte for allocators: see `process_limits`.
    assert int((tmp_path / "peak").read_text()) >> 10 < 2 * MEMORY_MB + 1024 + 300, name
    proof.tried("bombs that heed no interrupt, ended with their process")


# A small process between us and the command: a child starts with the peak of who started it.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(str(peak))
sys.exit(code)
"""
