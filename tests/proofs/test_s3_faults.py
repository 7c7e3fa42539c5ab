"""A run over S3 and Glue whose N-th request fails ends well or says what to do, and the next one repairs it.

This file, run as a program, holds moto in its own memory and forks: a server whose state is thrown away after
each case, and a client for each run. Nothing waits between tries, and a lease ends with its run.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from deliveries import MADE_TABLES, NOW, Row, Shop, event, rows_of
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from proofs.fault_proxy import CONDITIONS, KINDS, Schedule, bound, server
from proofs.forms import Proof, form
from proofs.stage import warm_up
from proofs.test_file_faults import Found, digest, found_by, of_one_day

import eventmint
from eventmint.aws.names import Names
from eventmint.contracts import ANSWERS, all_contracts
from eventmint.errors import Bug, EventmintError, LockHeld
from eventmint.lake import Lake
from eventmint.storage import s3
from eventmint.tables.catalog import LakeCatalog

PARTS = form().times(2, 30)
FOR_GOOD = 0.4  # of the faults stay
SPARE = 300  # in the long form, beyond one of every kind
NAMES = Names("dev", "123456789012")
TABLES = ("bronze.events", *MADE_TABLES)
SURROUNDINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-west-2",
    "AWS_DEFAULT_REGION": "us-west-2",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "MOTO_ACCOUNT_ID": "123456789012",
    "no_proxy": "127.0.0.1",
    "NO_PROXY": "127.0.0.1",
    "PYICEBERG_MAX_WORKERS": "1",
}


# --- The proof --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_whose_nth_request_fails_says_so_and_the_next_one_repairs_it(
    part: int, proof: Proof, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**kept, **SURROUNDINGS, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = [sys.executable, __file__, str(tmp_path), str(part)]
    subprocess.run(program, env=environment, check=True, timeout=1200)
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert outcome["wrong"] == {}
    for what, count in outcome["tried"].items():
        proof.tried(what, count)


# --- Which requests fail ----------------------------------------------------------------------------------


def cases(requests: list[str], proof: Proof) -> list[Schedule]:
    """The reply of each commit lost, and each kind of fault by kind of request: in the short form some."""
    rng = proof.random("which requests fail")
    commits = {text: number for number, text in enumerate(requests, 1) if text.startswith("UpdateTable ")}
    assert len(commits) == len(all_contracts()), commits
    found = [Schedule(number, "reply lost") for number in commits.values()]
    kinds: dict[tuple[str, str], Schedule] = {}
    others: list[Schedule] = []
    every = [(number, kind) for number in range(1, 1 + len(requests)) for kind in KINDS]
    rng.shuffle(every)
    for number, kind in every:
        request = requests[number - 1]
        if kind in CONDITIONS and not (" if" in request or request.startswith("UpdateTable")):
            continue
        # A delay of every request would only take long.
        schedule = Schedule(number, kind, rng.random() < FOR_GOOD and kind != "delayed")
        kinds.setdefault((request.partition(" ")[0], kind), schedule)
        others.append(schedule)
    return found + list(kinds.values())[: proof.times(4, len(kinds))] + others[: proof.times(0, SPARE)]


# --- The program ------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """A lake in moto's memory that has had a run, and the files of the next one, which is made to fail."""

    folder: Path
    app: Any
    # One address for all servers: what knows it is made once, before the forks.
    port: int
    repaired: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        rng = Random(70)
        shop = Shop(self.folder / "shop")
        first: list[Row | bytes] = [*of_one_day(rng, 10), event(), event(), b"{"]
        shop.deliver("a", *first)
        self.with_moto(partial(self.deliver, shop.source, ["source", "analytics"]))
        self.with_moto(partial(self.run, 0))
        shared = of_one_day(rng, 3)
        shop.deliver("a", *first[:6], *shared, event(quantity=7), b"[]")
        shop.deliver("b", *shared, *first[3:], b"")
        self.with_moto(partial(self.deliver, shop.source, []))

    def deliver(self, source: Path, new_buckets: list[str]) -> Found:
        client = boto3.client("s3")
        for kind in new_buckets:
            bucket = NAMES.source_bucket if kind == "source" else NAMES.analytics_bucket
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        for path in sorted(source.rglob("*.gz")):
            client.upload_file(str(path), NAMES.source_bucket, path.relative_to(source).as_posix())
        return {}

    def with_moto(self, work: Callable[[], Found]) -> Found:
        """Do this in a fork against the moto of this process, which keeps what comes of it."""
        threads = threading.active_count()
        serving = server(self.app, Schedule(), self.port)
        serving.timeout = 0.05
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                said = json.dumps(found_by(work))
            except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
                traceback.print_exc()
                os._exit(1)
            os.write(writing, said.encode())
            os._exit(0)
        os.close(writing)
        code = None
        while code is None:
            serving.handle_request()
            done, status = os.waitpid(child, os.WNOHANG)
            code = status if done else None
        serving.server_close()
        while threading.active_count() > threads:  # it still answers
            time.sleep(0.01)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        assert code == 0
        found: Found = json.loads(said)
        return found

    @contextmanager
    def moto_as_it_was(self, schedule: Schedule) -> Iterator[None]:
        """A server with this process's state of moto, whose changes are forgotten at the end."""
        serving = server(self.app, schedule, self.port)
        child = os.fork()
        if child == 0:
            serving.serve_forever()
            os._exit(0)
        serving.server_close()
        try:
            yield
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)

    @property
    def database(self) -> Path:
        return self.folder / "analytics.duckdb"

    @property
    def lake(self) -> Lake:
        return eventmint.open_lake(
            source__path=NAMES.source,
            lake__root=NAMES.lake,
            lake__database=str(self.database),
            aws__id=NAMES.id,
            run__workers=1,
        )

    def run(self, minutes: int) -> Found:
        report = self.lake.run(now=NOW + timedelta(minutes=minutes))
        return {"set aside": sorted(report.set_aside)}

    def run_at_risk(self) -> Found:
        try:
            return self.run(1) | {"ended": "well"}
        except Exception as err:  # noqa: BLE001 - whatever it is, it is looked at
            is_told = isinstance(err, EventmintError) and not isinstance(err, Bug)
            trace = "".join(traceback.format_exception(err))
            return {"ended": "told" if is_told else trace, "set aside": [], "said": str(err)}

    def look(self, old: Found | None = None) -> Found:
        """What every table holds, and what was published; as in `old` where nothing was written since."""
        lake, heads = self.lake, self.heads()
        before = old["heads"] if old else {}
        found: Found = {"heads": heads, "tables": {}}
        for table in TABLES:
            is_old = old is not None and before[table] == heads[table]
            found["tables"][table] = old["tables"][table] if old and is_old else digest(rows_of(lake, table))
        shown = {name: lake.answer(name).to_pylist() for name in ANSWERS}
        return found | {"published": {name: digest(rows) for name, rows in shown.items()}}

    def heads(self) -> dict[str, str]:
        """Where Glue says that the metadata of each table lies."""
        glue = boto3.client("glue")
        found = {}
        for shape in all_contracts():
            table = glue.get_table(DatabaseName=f"{shape.schema}_{NAMES.id}", Name=shape.name)["Table"]
            found[shape.table] = table["Parameters"]["metadata_location"]
        return found

    def look_between(self, old: Found) -> Found:
        """What a failed run has left, and all of it that decides what the next run does."""
        found = self.look(old)
        client = boto3.client("s3")
        tables = []
        for name, location in sorted(found["heads"].items()):
            key = location.partition(f"{NAMES.analytics_bucket}/")[2]
            metadata = json.loads(client.get_object(Bucket=NAMES.analytics_bucket, Key=key)["Body"].read())
            newest = metadata["snapshots"][-1]["summary"] if metadata["snapshots"] else {}
            numbers = {key: value for key, value in newest.items() if key.startswith("total-")}
            tables.append((name, metadata["properties"].get("eventmint.seq"), numbers))
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=NAMES.analytics_bucket)
        keys = [item["Key"] for page in pages for item in page["Contents"] if "/metadata/" not in item["Key"]]
        return found | {"state": repr((tables, sorted(keys), found["published"] == old["published"]))}

    def look_at_all(self) -> Found:
        lake = self.lake
        last = lake.last_run() or {}
        return self.look() | {
            "ledger": sorted(str(replace(entry, seq=0, batch="")) for entry in lake.ledger().entries),
            "totals": str(lake.totals()),
            "recorded": {name: last.get(name) for name in ("laws_hold", "lake")},
        }

    def repair_and_look(self) -> Found:
        try:
            self.run(2)
        except LockHeld:  # whose lease could not be ended, and runs out in two minutes
            s3.remove([f"{NAMES.lake}/.lock"])
            self.run(2)
        return self.look_at_all()


def in_haste(work: Callable[[], Found]) -> Found:
    """Do this in a fork that waits for nothing."""

    def hasty() -> Found:
        real = time.sleep
        setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))  # noqa: B010
        return work()

    return found_by(hasty)


def warm_up_for_aws(folder: Path, port: int) -> None:
    """Let every fork know this port as AWS, with what clients and commits work out once worked out."""
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    warm_up(folder)
    LakeCatalog(NAMES.lake)._open()  # a client of Glue, of the session that ours come from
    s3.s3_client()
    for service in ("s3", "glue"):
        boto3.client(service)
    gc.disable()  # a collection in a fork would copy all that it shares with its parent


def asked(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def main(folder: Path, part: int) -> None:
    temporary = folder / "tmp"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    with bound() as taken:
        port = taken.getsockname()[1]
        warm_up_for_aws(folder / "warm up", port)
        play(Bench(folder, DomainDispatcherApplication(create_backend_app), port), part)


def play(bench: Bench, part: int) -> None:
    bench.prepare()
    image = bench.database.read_bytes()
    with bench.moto_as_it_was(Schedule()):
        old = in_haste(bench.look)
        before = len(asked(bench.port, "/proof-requests"))
        assert in_haste(bench.run_at_risk)["ended"] == "well"
        requests = asked(bench.port, "/proof-requests")[before:]
        new = in_haste(bench.look_at_all)
    assert new["recorded"]["laws_hold"]
    assert new["published"] != old["published"]
    wrong: dict[str, list[str]] = {}
    tried: Counter[str] = Counter()
    for schedule in cases(requests, form())[part::PARTS]:
        bench.database.write_bytes(image)
        how = f"{schedule.kind}{' from then on' if schedule.for_good else ''}"
        if said := judge(bench, schedule, old, new):
            wrong[f"request {schedule.number} ({requests[schedule.number - 1]}) {how}"] = said
        tried[f"runs of which one request met: {how}"] += 1
    (bench.folder / "outcome.json").write_text(
        json.dumps({"tried": tried, "wrong": wrong, "requests": Counter(requests)})
    )


def judge(bench: Bench, schedule: Schedule, old: Found, new: Found) -> list[str]:
    """Let a run fail and the next one repair it; return what was not as promised."""
    with bench.moto_as_it_was(schedule):
        run = in_haste(bench.run_at_risk)
        wrong = [] if run["ended"] in ("well", "told") else [run["ended"]]
        asked(bench.port, "/proof-heal")
        try:
            between = in_haste(partial(bench.look_between, old))
            is_known = between["state"] in bench.repaired
            end = new if is_known else in_haste(bench.repair_and_look)
        except RuntimeError as err:
            return [*wrong, f"could not be read or repaired: {err}"]
    # Of two new files one may be left for the next run, and what the other brings is neither old nor new.
    if not run["set aside"]:
        if between["published"] not in (old["published"], new["published"]):
            wrong.append("the published answers are neither the old ones nor the new ones")
        for table, rows in between["tables"].items():
            if rows not in (old["tables"][table], new["tables"][table]):
                wrong.append(f"{table} is neither old nor new")
        if run["ended"] == "well" and between["published"] != new["published"]:
            wrong.append("the run said that all was well, and published nothing")
    parts = [part for part in new if part != "heads"]
    wrong += [f"{part}: {end[part]} instead of {new[part]}" for part in parts if end[part] != new[part]]
    if not wrong:
        bench.repaired.add(between["state"])
    return wrong


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
