"""The Lambda's body, taken from the template's text and run: the file it writes, its time and its memory."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import template_text

from eventmint.lake import open_lake
from eventmint.sources import sample

BUCKET = "capstone-events-anna-123456789012"
EVENT = {"time": "2026-03-01T13:07:41Z", "source": "aws.events", "detail-type": "Scheduled Event"}
KEY = "events/year=2026/month=03/day=01/hour=13/minute=05/events-20260301-130500.jsonl.gz"
SMALL = 5_000


@pytest.fixture
def bucket(aws: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The source bucket of a deployment, as the function sees it, with files of about SMALL lines."""
    boto3 = pytest.importorskip("boto3", reason="needs the extra aws")
    monkeypatch.setenv("BUCKET", BUCKET)
    monkeypatch.setenv("LINES", str(SMALL))
    s3 = boto3.resource("s3", endpoint_url=aws)
    return s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})


def loaded() -> ModuleType:
    """The function's module, from the template's own text."""
    module = ModuleType("index")
    sys.modules["index"] = module
    code = template_text.parsed()["Resources"]["Generator"]["Properties"]["Code"]["ZipFile"]
    exec(compile(code, "index.py", "exec"), module.__dict__)  # noqa: S102 - as Lambda does
    return module


def body_of(bucket: Any, key: str) -> bytes:
    body: bytes = bucket.Object(key).get()["Body"].read()
    return body


def test_the_function_writes_the_file_that_a_local_run_writes(bucket: Any) -> None:
    written = loaded().handler(EVENT, None)
    settings = sample.SampleSettings(
        events_per_file=SMALL, size_spread=0.2, start=datetime(2026, 3, 1, 12, tzinfo=UTC)
    )
    sink = io.BytesIO()
    counts = sample.write_file(settings, 13, sink)
    assert written == {"key": KEY, "bytes": len(sink.getvalue()), "lines": counts.lines}
    assert body_of(bucket, KEY) == sink.getvalue()
    assert counts.path == KEY


def test_a_second_delivery_of_the_event_writes_the_same_bytes_to_the_same_place(bucket: Any) -> None:
    first = loaded().handler(EVENT, None)
    content = body_of(bucket, KEY)
    assert loaded().handler(EVENT | {"time": "2026-03-01T13:09:59Z"}, None) == first
    assert [object_.key for object_ in bucket.objects.all()] == [KEY]
    assert body_of(bucket, KEY) == content


def test_a_call_by_hand_writes_the_file_of_these_five_minutes(bucket: Any) -> None:
    before = datetime.now(UTC)
    key = loaded().handler({}, None)["key"]
    name = key.rpartition("/")[2]
    window = datetime.strptime(name, sample.FILE_PATH.rpartition("/")[2]).replace(tzinfo=UTC)
    assert (before - window).total_seconds() < 300 + 5
    assert window.minute % 5 == window.second == 0
    assert [object_.key for object_ in bucket.objects.all()] == [key]


def test_the_pipeline_takes_in_the_functions_files_without_a_bad_line(bucket: Any, tmp_path: Path) -> None:
    generator = loaded()
    lines = 0
    for minute in (5, 10, 15, 20):
        written = generator.handler({"time": f"2026-03-01T13:{minute:02d}:00Z"}, None)
        lines += written["lines"]
        path = tmp_path / "data" / written["key"]
        path.parent.mkdir(parents=True)
        path.write_bytes(body_of(bucket, written["key"]))
    config = tmp_path / "eventmint.toml"
    config.write_text("[source]\nsettle_seconds = 0\n[run]\nworkers = 1\n", encoding="utf-8")
    report = open_lake(config).run()
    assert (report.files_landed, report.totals.lines, report.totals.valid) == (4, lines, lines)
    assert (report.totals.quarantined, report.set_aside, report.laws_hold) == (0, {}, True)
    assert report.totals.duplicates > 0


MEASURED = """
import gzip, json, os, resource, sys, time, types
class S3:
    def put_object(self, Bucket, Key, Body):
        with gzip.open(Body) as text:
            self.lines = sum(block.count(b"\\n") for block in iter(lambda: text.read(1 << 20), b""))
s3 = S3()
sys.modules["boto3"] = types.SimpleNamespace(client=lambda _: s3)
os.environ |= {"BUCKET": "b", "LINES": "750000"}
module = types.ModuleType("index")
sys.modules["index"] = module
exec(compile(sys.stdin.read(), "index.py", "exec"), module.__dict__)
module.SampleSettings.line_count = lambda self, start: 750_000  # the largest file there can be
def peak_megabytes():
    # Not ru_maxrss where it can be helped: a child starts with its parent's peak.
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20
start = time.process_time()
module.print = lambda _: print(json.dumps({
    "seconds": round(time.process_time() - start, 1),
    "megabytes": peak_megabytes(),
}))
written = module.handler({"time": "2026-03-01T20:00:00Z"}, None)
assert s3.lines == written["lines"] == 750_000, (s3.lines, written)
print(written["bytes"])
"""


def test_750_000_events_stay_far_below_the_functions_limits(record_property: Any) -> None:
    function = template_text.parsed()["Resources"]["Generator"]["Properties"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        input=function["Code"]["ZipFile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured, size = json.loads(done.stdout.splitlines()[0]), int(done.stdout.splitlines()[1])
    # The figures are the point of this test: `pytest -s` shows them.
    print(f"750,000 events: {measured['seconds']} s, {measured['megabytes']} MB, {size:,} bytes gzipped")  # noqa: T201
    for name, value in measured.items():
        record_property(name, value)
    assert measured["megabytes"] * 10 < function["MemorySize"]
    assert measured["seconds"] * 10 < function["Timeout"]
    assert size < 100 << 20  # of the 512 MB of /tmp


def test_files_hold_500_000_to_750_000_lines_and_differ() -> None:
    module = loaded()
    assert (
        template_text.parsed()["Resources"]["Generator"]["Properties"]["Environment"]["Variables"]["LINES"]
        == "625000"
    )
    settings = module.SampleSettings(events_per_file=625_000, size_spread=0.2)
    counts = [settings.line_count(settings.window_start(index)) for index in range(2_000)]
    assert 500_000 <= min(counts) < 502_000
    assert 748_000 < max(counts) <= 750_000


def test_the_body_needs_nothing_but_the_standard_library_and_boto3() -> None:
    code = template_text.parsed()["Resources"]["Generator"]["Properties"]["Code"]["ZipFile"]
    modules = {line.split()[1].split(".")[0] for line in code.splitlines() if line.startswith("from ")}
    modules |= {
        name.strip(",")
        for line in code.splitlines()
        if line.startswith("import ")
        for name in line.split()[1:]
    }
    assert modules - {"boto3"} <= sys.stdlib_module_names
    assert code.isascii()


def test_gzip_of_the_function_is_whole(bucket: Any) -> None:
    written = loaded().handler(EVENT, None)
    assert gzip.decompress(body_of(bucket, KEY)).count(b"\n") == written["lines"]
