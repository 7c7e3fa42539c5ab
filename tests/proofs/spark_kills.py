"""A run on Spark of which a process is killed: `spark_kills.py FOLDER WHO POINT`, WHO may be nobody.

The driver kills itself at a crash point; an executor of a cluster on this machine is killed when the driver
comes to one, in the middle of what it does next.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from deliveries import NOW, Shop
from proofs.stage import Found, tell

from eventmint import crash_points
from eventmint.errors import TryAgain

EXECUTOR = b"CoarseGrainedExecutorBackend"


def run(folder: Path, who: str, point: str) -> Found:
    """Run on Spark; the driver's death is the process's, an executor's is survived or asks to run again."""
    shop = Shop(folder / "shop", {"run__engine": "spark", "run__workers": 2, "run__memory_mb": 1024})
    killed: list[int] = []

    def reached(met: str) -> None:
        if met != point or killed:
            return
        if who == "driver":
            os.kill(os.getpid(), signal.SIGKILL)
        killed.append(0)
        threading.Thread(target=lambda: killed.extend(kill_an_executor()), daemon=True).start()

    crash_points.on_reached = reached
    if who == "executor":
        start_a_cluster()
    try:
        report = shop.lake.run(shop.source, now=NOW)
        ended = "laws hold" if report.laws_hold else "a law is broken"
    except TryAgain as err:
        ended = str(err)
    return {"killed": len(killed[1:]), "ended": ended}


def start_a_cluster() -> None:
    """Start a Spark whose executors are processes of their own; the engine takes it as it is."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"],
    }
    builder = SparkSession.builder
    for name, value in settings.items():
        builder = builder.config(name, value)
    builder.getOrCreate().sparkContext.setLogLevel("OFF")


def kill_an_executor() -> list[int]:
    """Kill one executor among our descendants a moment after it has got work."""
    time.sleep(0.3)
    found = [
        int(process.parent.name)
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if EXECUTOR in read(process) and os.environ["PROOF"].encode() in read(process.with_name("environ"))
    ]
    for pid in found[:1]:
        os.kill(pid, signal.SIGKILL)
    return found[:1]


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""  # it has just ended


if __name__ == "__main__":
    tell(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
