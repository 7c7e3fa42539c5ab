"""The checks check: each bug of `planted.BUGS` is found by the test that is named for it.

A bug is planted into a copy of the sources, and the named tests run against the copy in a process of their
own: they must fail there, and pass where nothing is planted. The long form plants all and prints who found
what; the short form plants a few, and sees to it that every one can still be planted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from proofs.forms import REPOSITORY, Proof, form
from proofs.planted import BUGS, Bug

SOURCES = REPOSITORY / "src"
PLANTED_IN_SHORT = 4
NAMES = tuple(bug.name for bug in BUGS)
BY_NAME = {bug.name: bug for bug in BUGS}
# Written when the tests have run: which package they had imported.
_WITNESS = """
import os
from pathlib import Path

def pytest_sessionfinish():
    import eventmint
    Path(os.environ["WITNESS"]).write_text(eventmint.__file__)
"""


def chosen() -> tuple[str, ...]:
    return NAMES if form().is_long else tuple(form().random("planted").sample(NAMES, PLANTED_IN_SHORT))


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """A copy of the sources, and of the data that tests find beside them."""
    target = tmp_path / "src"
    shutil.copytree(SOURCES, target, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "witness_of_the_copy.py").write_text(_WITNESS)
    yield target
    shutil.rmtree(target)


def run_tests(copy: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run tests of this repository against the copy of the sources."""
    witness = copy.parent / "imported"
    witness.unlink(missing_ok=True)
    path = os.pathsep.join([str(copy), str(copy.parent), str(REPOSITORY / "tests")])
    # Under CI pytest explains every difference in full, which takes minutes where a bug changes a large file.
    left_out = ("EVENTMINT_", "PYTEST_", "CI", "BUILD_NUMBER")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    ended = subprocess.run(
        [
            *(sys.executable, "-B", "-m", "pytest", "-q", "-x", "--no-header", "-p", "witness_of_the_copy"),
            *("-p", "no:cacheprovider", "-o", f"pythonpath={copy} {REPOSITORY / 'tests'}"),
            *("--basetemp", str(copy.parent / "temp"), *tests),
        ],
        cwd=REPOSITORY,
        # A proof that finds a planted bug keeps that to itself.
        env=environment | {"PYTHONPATH": path, "WITNESS": str(witness), "PROOF_BOOKS": str(copy.parent)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if witness.exists():  # an error while tests are collected ends earlier
        assert Path(witness.read_text()).is_relative_to(copy)
    return ended


def planted(bug: Bug) -> str:
    text = (SOURCES / "eventmint" / bug.file).read_text(encoding="utf-8")
    assert text.count(bug.old) == 1, f"{bug.name}: cannot be planted in {bug.file} any more"
    return text.replace(bug.old, bug.new)


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_can_still_be_planted(name: str) -> None:
    bug = BY_NAME[name]
    text = planted(bug)
    if bug.file.endswith(".py"):
        compile(text, bug.file, "exec")
    for test in bug.tests:
        file, _, function = test.partition("[")[0].rpartition("::")
        assert f"def {function}(" in (REPOSITORY / file.partition("::")[0]).read_text(encoding="utf-8"), test


@pytest.mark.parametrize("name", chosen())
def test_a_planted_bug_is_found_by_name(name: str, copy: Path, proof: Proof) -> None:
    bug = BY_NAME[name]
    (copy / "eventmint" / bug.file).write_text(planted(bug), encoding="utf-8")
    ended = run_tests(copy, bug.tests)
    assert ended.returncode == 1, f"{name}: not found by {bug.tests}:\n{ended.stdout[-2000:]}"
    # An error of the named test's fixture counts, one while tests are collected (it names no test) does not.
    told = [line.split() for line in ended.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    failed = [words[1] for words in told if "::" in words[1]]
    assert len(failed) == 1, f"{name}: no test failed, but something else:\n{ended.stdout[-2000:]}"
    assert failed[0].startswith(bug.tests), name
    proof.tried("planted bugs that were found by name")
    test = failed[0].partition("[")[0].rpartition("::")[2]
    proof.tried(f"planted: {name} -> found by {test}")  # a line of the table that the session prints


def test_where_nothing_is_planted_the_named_tests_pass(copy: Path, proof: Proof) -> None:
    """Those that are proofs themselves have their turn in this session, at full length."""
    named = {test for name in chosen() for test in BY_NAME[name].tests}
    tests = tuple(sorted(test for test in named if not test.startswith("tests/proofs/")))
    ended = run_tests(copy, tests)
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert (copy.parent / "imported").exists()
    proof.tried("named tests that pass where nothing is planted", len(tests))
