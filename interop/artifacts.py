"""What the checks run on: the engines' files from Maven, and the Java that each of them needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "interop"
SPARK_JAVA = range(11, 22)
TRINO_JAVA = range(24, 99)


class Missing(Exception):
    """Something that this machine must have is not there; the message says what."""


@dataclass(frozen=True)
class Artifacts:
    """Paths of the engines.

    Attributes:
        spark_jars: what Spark gets on its class path.
        trino: folder of the unpacked server, with the SQLite driver in its Iceberg plugin.
    """

    spark_jars: tuple[Path, ...]
    trino: Path


def fetch() -> Artifacts:
    """Return the engines' files; only the first call needs the network."""
    ready = BUILD / ".ready"
    if not ready.exists() or ready.stat().st_mtime < (ROOT / "interop" / "pom.xml").stat().st_mtime:
        _fetch_with_maven()
        ready.touch()
    return Artifacts(
        spark_jars=(_only("iceberg-spark-runtime-*.jar"), _only("sqlite-jdbc-*.jar")),
        trino=_only("trino-server-*/"),
    )


def _fetch_with_maven() -> None:
    if shutil.which("mvn") is None:
        raise Missing("needs Maven: `mvn` is not on the path")
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    pom = ROOT / "interop" / "pom.xml"
    subprocess.run(["mvn", "-q", "-B", "-f", pom, "dependency:copy"], check=True)  # noqa: S603, S607 - found on the path on purpose
    archive = _only("trino-server-*.tar.gz")
    # Not tarfile: thousands of hard links between the plugins, which tar unpacks in seconds.
    subprocess.run(["tar", "-xzf", archive, "-C", BUILD], check=True)  # noqa: S603, S607 - the same
    archive.unlink()
    shutil.copy(_only("sqlite-jdbc-*.jar"), _only("trino-server-*/") / "plugin" / "iceberg")


def _only(pattern: str) -> Path:
    found = [path for path in BUILD.glob(pattern) if pattern.endswith("/") == path.is_dir()]
    if len(found) != 1:
        raise Missing(f"{BUILD}: expected one {pattern}, found {len(found)}; remove the folder and try again")
    return found[0]


def java_home(versions: range) -> Path:
    """Return the home of an installed Java with one of these major versions, the newest of them."""
    candidates = [Path(home) for name in ("JAVA_HOME", "TRINO_JAVA_HOME") if (home := os.environ.get(name))]
    candidates += sorted(Path("/usr/lib/jvm").glob("*"))
    found = {version: home for home in candidates if (version := _java_version(home)) in versions}
    if not found:
        raise Missing(f"needs Java {versions.start} or newer: set TRINO_JAVA_HOME or JAVA_HOME to one")
    return found[max(found)]


def _java_version(home: Path) -> int:
    java = home / "bin" / "java"
    if not java.exists():
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - the same
    version = re.search(r'version "(\d+)', said)
    return int(version[1]) if version else 0
