"""On what a figure was measured: processor, memory, system, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OURS = ("eventmint", "duckdb", "pyarrow", "pyiceberg", "isal", "pyspark")
ASK_VERSION = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"


def described(peer_python: Path | None, peer_packages: tuple[str, ...]) -> list[str]:
    """Return lines that tell the machine, the versions and the time."""
    cpu = _field("/proc/cpuinfo", "model name") or platform.machine()
    memory = _gigabytes(_field("/proc/meminfo", "MemTotal"))
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    packages = ", ".join(f"{name} {_version(name)}" for name in OURS)
    lines = [
        f"{cpu}, {os.cpu_count()} cores, {memory} memory, {kernel}",
        f"Python {platform.python_version()}, {packages}",
    ]
    if peer_python and peer_packages:
        command = [str(peer_python), "-c", ASK_VERSION, *peer_packages]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()  # noqa: S603
        pairs = zip(peer_packages, told, strict=False)
        lines.append("peers: " + ", ".join(f"{name} {number}" for name, number in pairs))
    lines.append(
        f"load average {os.getloadavg()[0]:.1f} at the start, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    )
    return lines


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(absent)"


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines() if Path(file).exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _gigabytes(kilobytes: str) -> str:
    number = kilobytes.removesuffix(" kB")
    return f"{int(number) / (1 << 20):.0f} GiB" if number.isdigit() else "unknown"
