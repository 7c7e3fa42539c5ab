"""The doctor: can a run succeed here? Looks, never changes anything; every complaint comes with a cure."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from eventmint.config import Settings, known_keys, shown_value
from eventmint.errors import EventmintError
from eventmint.storage import is_s3
from eventmint.tables.catalog import LakeCatalog, lake_folder_is_writable

OK, WARNING, BROKEN = "ok", "warning", "broken"
OLDEST_PYTHON = (3, 11)
LITTLE_DISK_MB, TOO_LITTLE_DISK_MB = 2_000, 200
WORKER_MB = 150
_PACKAGES = ("click", "duckdb", "isal", "pyarrow", "pyiceberg", "rich")
_MB = 1 << 20


@dataclass(frozen=True)
class Check:
    """One thing looked at: `verdict` is ok, warning or broken; `cure` says what to do about it."""

    name: str
    verdict: str
    found: str
    cure: str = ""


def examine(settings: Settings, count_new_files: Callable[[], int]) -> list[Check]:
    """Return every check, in the order in which a run would stumble.

    Args:
        count_new_files: lists the source and returns how many files have a fitting name.
    """
    return [
        _python(),
        _packages(),
        _source(settings, count_new_files),
        _lake(settings),
        _writable("database", settings.database_path.parent, "lake.database"),
        _disk(settings.home if is_s3(settings.lake_location) else settings.lake_root),
        *([_spark()] if settings.run.engine == "spark" else []),
        _memory(settings),
    ]


def settings_with_origins(settings: Settings) -> list[dict[str, Any]]:
    """Return each key with the value in force and where it came from."""
    return [
        {
            "key": dotted,
            "value": shown_value(settings, dotted),
            "origin": settings.origins.get(dotted, "default"),
        }
        for dotted in known_keys()
    ]


def _python() -> Check:
    found = f"{sys.version.split()[0]} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", BROKEN, found, "Use Python 3.11 or above")
    return Check("python", OK, found)


def _packages() -> Check:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
            found.append(f"{name} {metadata.version(name)}")
        except (ImportError, metadata.PackageNotFoundError) as err:
            missing.append(f"{name} ({err})")
    if missing:
        return Check("packages", BROKEN, f"cannot be used: {', '.join(missing)}", "Install eventmint again")
    return Check("packages", OK, ", ".join(found))


def _source(settings: Settings, count_new_files: Callable[[], int]) -> Check:
    if is_s3(settings.source_location):
        return _counted(settings, settings.source_location, count_new_files)
    path = settings.source_path
    if not path.exists():
        return Check(
            "source",
            BROKEN,
            f"{path}: not there",
            "Set source.path, or name a folder: `eventmint run SOURCE`",
        )
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        return Check("source", BROKEN, f"{path}: cannot be read", "Grant read access")
    return _counted(settings, str(path), count_new_files)


def _counted(settings: Settings, path: str, count_new_files: Callable[[], int]) -> Check:
    try:
        count = count_new_files()
    except (EventmintError, OSError) as err:
        return Check("source", BROKEN, str(err).rstrip("."))
    found = f"{path}: {count:,} files match {settings.source.pattern}"
    return (
        Check("source", OK, found)
        if count
        else Check("source", WARNING, found, "Set source.pattern or source.path")
    )


def _lake(settings: Settings) -> Check:
    place = settings.lake_location
    if not is_s3(place):
        return _writable("lake", settings.lake_root, "lake.root")
    try:
        made = LakeCatalog(place, settings.aws.id).exists()
    except EventmintError as err:
        return Check("lake", BROKEN, err.message.rstrip("."), err.hint.rstrip("."))
    return Check("lake", OK, f"{place}: {'tables in the Glue catalog' if made else 'no tables yet'}")


def _spark() -> Check:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=os.path.join(home, "bin") if home else None)  # noqa: PTH118 - a search path
    if java is None or importlib.util.find_spec("pyspark") is None:
        lacking = "Java" if java is None else "the package pyspark"
        cure = "Install a Java 17 runtime" if java is None else "pip install 'eventmint[spark]'"
        return Check("spark", BROKEN, f"run.engine is spark, but {lacking} is missing", cure)
    return Check("spark", OK, f"{java}, pyspark {metadata.version('pyspark')}")


def _writable(name: str, folder: Path, key: str) -> Check:
    if folder.exists() and not folder.is_dir():
        return Check(name, BROKEN, f"{folder}: not a folder", f"Set {key}")
    if not lake_folder_is_writable(folder):
        return Check(name, BROKEN, f"{folder}: cannot be written", f"Grant write access or set {key}")
    return Check(name, OK, f"{folder}: {'can be written' if folder.exists() else 'can be made'}")


def _disk(folder: Path) -> Check:
    while not folder.exists():
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free // _MB
    found = f"{free_mb:,} MB free in {folder}"
    if free_mb < LITTLE_DISK_MB:
        verdict = BROKEN if free_mb < TOO_LITTLE_DISK_MB else WARNING
        return Check("disk", verdict, found, "Make room or set lake.root")
    return Check("disk", OK, found)


def _memory(settings: Settings) -> Check:
    wanted_mb = settings.run.memory_mb + settings.workers * WORKER_MB
    wanted = f"a run with {settings.workers} workers wants about {wanted_mb:,} MB"
    available = next((line for line in _meminfo() if line.startswith("MemAvailable:")), "")
    if not available:
        return Check("memory", OK, wanted)
    free_mb = int(available.split()[1]) // 1024
    found = f"{free_mb:,} MB available; {wanted}"
    if free_mb < wanted_mb:
        return Check("memory", WARNING, found, "Set run.workers or run.memory_mb lower")
    return Check("memory", OK, found)


def _meminfo() -> Iterator[str]:
    try:
        yield from Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return
