"""`eventmint run --engine spark`, as a user starts it: same answers, no chatter, one line without Java."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, SPARK_OF_A_RUN

from eventmint.contracts import ANSWERS


def eventmint(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"PYTHONPATH": str(REPOSITORY / "src"), "NO_COLOR": "1", **SPARK_OF_A_RUN, **environment}
    return subprocess.run(
        [sys.executable, "-m", "eventmint.cli", *arguments],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def without_clock(line: str) -> str:
    return line.rpartition(", ")[0] if line.endswith(" s") else line


def test_a_run_on_spark_gives_the_answers_of_duckdb_and_says_as_little(
    sample_lake: Path, tmp_path: Path
) -> None:
    if "JAVA_HOME" not in os.environ and not shutil.which("java"):
        pytest.skip("needs Java 17: there is no `java` on the path")
    ended = eventmint(tmp_path, "run", str(REPOSITORY / "sample-data"), "--engine", "spark")
    assert ended.returncode == 0, ended.stderr
    assert "59,844 valid = 55,783 events + 4,061 duplicates" in ended.stdout
    stages = [without_clock(line) for line in ended.stderr.splitlines() if "eta" not in line]
    assert stages == [
        "bronze    60,000 lines",
        "silver    55,783 events, 4,061 duplicates",
        "gold      3 days",
    ]
    for answer in ANSWERS:
        found, expected = (
            eventmint(folder, "--json", "show", answer).stdout for folder in (tmp_path, sample_lake)
        )
        assert json.loads(found) == json.loads(expected), answer
    assert not (tmp_path / "lake" / ".scratch").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analytics.duckdb", "lake"]


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"JAVA_HOME": "/nowhere"}, "JAVA_HOME is /nowhere, which has no bin/java"),
        ({"JAVA_HOME": "", "PATH": "/nowhere"}, "there is no `java` on the path"),
    ],
)
def test_without_java_one_line_says_what_to_do(
    environment: dict[str, str], where: str, tmp_path: Path
) -> None:
    source = str(REPOSITORY / "sample-data")
    ended = eventmint(tmp_path, "run", source, "--engine", "spark", **environment)
    assert ended.returncode == 2
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert f"Spark needs Java 17: {where}." in line
    assert "Install a Java 17 runtime" in line


def test_an_unknown_engine_is_refused_with_a_guess(tmp_path: Path) -> None:
    ended = eventmint(tmp_path, "run", "--engine", "sparc")
    assert ended.returncode == 2
    assert "Did you mean 'spark'?" in ended.stderr
