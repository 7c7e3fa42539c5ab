"""The Glue job as Glue starts it: spark-submit, the built wheel, Glue's own arguments, a clean environment.

The Spark is a cluster on this machine: a driver and two executors in processes and folders of their own, so
that files pass through S3 only, as on Glue. `awsglue` exists on Glue alone; where the bookmark is tested, a
stand-in for that vendor's module tells what was called and which files are new.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import SPARK_OF_A_RUN
from deliveries import MADE_TABLES, rows_of

import eventmint
from eventmint.aws import artifacts
from eventmint.aws.names import Names
from eventmint.lake import Lake

REPOSITORY = Path(__file__).parents[2]
NAMES = Names("dev", "123456789012")
JARS = REPOSITORY / "build" / "hadoop-aws"
EVENT = (
    '{"timestamp":"2026-01-15T11:30:00Z","user_id":"%s","session_id":"s","event_type":"page_view",'
    '"product_id":"p","category":null}\n'
)
# What is seen of the vendor's module: a context that knows which files are new, and a job.
AWSGLUE = {
    "__init__": "",
    "context": """
import json, os, pathlib
from pyspark.sql import SparkSession
class GlueContext:
    def __init__(self, context):
        self.create_dynamic_frame = self
    def from_options(self, connection_type, connection_options, format, format_options, transformation_ctx):
        new = json.loads(os.environ["NEW_FILES"])
        if new is None:
            raise RuntimeError("the bookmark is broken")
        column = format_options["attachFilename"]
        spark = SparkSession.builder.getOrCreate()
        rows = [(name, "a line") for name in new for _ in range(3)]
        self.frame = spark.createDataFrame(rows, f"{column} string, col0 string")
        return self
    def select_fields(self, names):
        self.frame = self.frame.select(*names)
        return self
    def toDF(self):
        return self.frame
""",
    "job": """
import os, pathlib
class Job:
    def __init__(self, context):
        pass
    def init(self, name, options):
        self.log(f"init {name}")
    def commit(self):
        self.log("commit")
    def log(self, line):
        with pathlib.Path(os.environ["JOB_LOG"]).open("a") as log:
            log.write(line + "\\n")
""",
}


@dataclass(frozen=True)
class Glue:
    """A folder like a Glue worker's: the wheel installed, the script beside it, nothing of this clone."""

    folder: Path

    def start(
        self, *arguments: str, master: str, program: Sequence[str] = ("glue_job.py",), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the job's script, or what runs it; what it says comes back."""
        bin_folder = Path(sysconfig.get_path("scripts"))
        settings = {
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
            "spark.hadoop.fs.s3a.endpoint": os.environ["AWS_ENDPOINT_URL"],
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": "4",
        }
        command = [str(bin_folder / "spark-submit"), "--master", master]
        command += ["--jars", ",".join(map(str, sorted(JARS.glob("*.jar"))))]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        given = {
            "--JOB_NAME": NAMES.job,
            "--JOB_RUN_ID": "jr_1",
            "--job-bookmark-option": "job-bookmark-enable",
            "--TempDir": f"s3://{NAMES.analytics_bucket}/temp/",
            "--enable-metrics": "true",
            "--source": NAMES.source,
            "--lake": NAMES.lake,
            "--deployment-id": NAMES.id,
            "--region": "us-west-2",
        }
        words = [word for pair in given.items() for word in pair]
        kept = ("PATH", "JAVA_HOME", "HOME", "LANG")
        own = {
            # The third-party modules of this environment, without the link to the clone that it holds.
            "PYTHONPATH": f"{self.folder}/site{os.pathsep}{sysconfig.get_path('purelib')}",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": f"{self.folder}/work",
            "SPARK_LOCAL_DIRS": f"{self.folder}/spill",
        }
        return subprocess.run(
            [*command, *program, *words, *arguments],
            cwd=self.folder,
            env={
                **{name: os.environ[name] for name in kept if name in os.environ},
                **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
                **own,
                **SPARK_OF_A_RUN,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )


@pytest.fixture(scope="module", autouse=True)
def jars() -> None:
    """Hadoop's S3 file system, from Maven: fetched once."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("needs Java 17: there is no `java` on the path")
    if any(JARS.glob("hadoop-aws-*.jar")):
        return
    if shutil.which("mvn") is None:
        pytest.skip("needs Maven, for Hadoop's S3 file system: there is no `mvn` on the path")
    pom = Path(__file__).with_name("hadoop-aws.pom.xml")
    fetched = subprocess.run(
        ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={JARS}"],
        check=False,
    )
    if fetched.returncode:
        pytest.skip("needs Hadoop's S3 file system: Maven could not fetch it")


@pytest.fixture
def glue(tmp_path: Path) -> Glue:
    built = artifacts.build()
    wheel = tmp_path / artifacts.WHEEL
    wheel.write_bytes(built.contents[artifacts.WHEEL])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "glue_job.py").write_bytes(built.contents[artifacts.SCRIPT])
    return Glue(tmp_path)


def lake_in_s3() -> Lake:
    return eventmint.open_lake(
        source__path=NAMES.source, lake__root=NAMES.lake, lake__database="", aws__id=NAMES.id
    )


def metric(name: str) -> list[float]:
    """Return what was sent under a name, in order of time."""
    data = boto3.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "eventmint",
                        "MetricName": name,
                        "Dimensions": [{"Name": "Deployment", "Value": NAMES.id}],
                    },
                    "Period": 86400,
                    "Stat": "Sum",
                },
            }
        ],
        StartTime="2020-01-01T00:00:00Z",
        EndTime="2100-01-01T00:00:00Z",
    )
    return list(data["MetricDataResults"][0]["Values"])


def test_a_cluster_that_shares_nothing_but_s3_makes_the_lake_of_a_folder(
    client: Any, glue: Glue, sample_lake: Path
) -> None:
    source = REPOSITORY / "sample-data"
    for path in sorted(source.rglob("*.gz")):
        client.upload_file(str(path), NAMES.source_bucket, path.relative_to(source).as_posix())
    # What a killed run had left where executors stage their files.
    client.put_object(Bucket=NAMES.analytics_bucket, Key="lake/.scratch/leftover.parquet", Body=b"x")
    ended = glue.start(master="local-cluster[2,1,1024]")
    assert ended.returncode == 0, ended.stderr[-4000:]
    # spark-submit puts what Python says on stderr among its own output.
    assert "60,000 lines = 72 blank + 59,844 valid + 84 quarantined" in ended.stdout
    local, lake = eventmint.open_lake(sample_lake / "eventmint.toml"), lake_in_s3()
    for table in MADE_TABLES:
        assert rows_of(lake, table) == rows_of(local, table), table
    assert lake.totals() == local.totals()
    assert len(rows_of(lake, "bronze.events")) == len(rows_of(local, "bronze.events"))
    assert all(law.holds for law in lake.verify())
    listed = client.list_objects_v2(Bucket=NAMES.analytics_bucket, Prefix="lake/.")
    assert [item["Key"] for item in listed["Contents"]] == ["lake/.runs-since-full-listing"]
    assert (metric("RunFailed"), metric("Lines")) == ([0.0], [60_000.0])


@pytest.mark.usefixtures("client")
def test_the_bookmark_only_spares_a_listing_and_is_saved_when_all_went_well(glue: Glue) -> None:
    folder = glue.folder / "site" / "awsglue"
    folder.mkdir()
    for name, text in AWSGLUE.items():
        (folder / f"{name}.py").write_text(text)
    log = glue.folder / "job.log"
    first, named, missed, skipped = (
        f"{NAMES.source}{name}.jsonl.gz" for name in ("first", "named", "missed", "skipped")
    )
    steps: list[tuple[list[str], list[str] | None, list[str]]] = [
        # What is put there, what the bookmark calls new, and what then has landed.
        ([first], [], [first]),  # nothing is known yet: a full listing, whatever the bookmark says
        ([named, missed], [named, first], [first, named]),
        ([], None, [first, missed, named]),  # a bookmark that cannot be read: the source is listed
        ([skipped], [], [first, missed, named]),
        ([], [], [first, missed, named, skipped]),  # the second after a full listing is one again
    ]
    asked = [{"put": {place: line_for(place).hex() for place in put}, "new": new} for put, new, _ in steps]
    (glue.folder / "steps.json").write_text(json.dumps(asked))
    (glue.folder / "glue_runs.py").write_bytes(Path(__file__).with_name("glue_runs.py").read_bytes())
    ended = glue.start(
        *("--engine", "duckdb", "--full-listing-every", "2"),
        program=("glue_runs.py", "steps.json", "found.json"),
        master="local[1]",
        JOB_LOG=str(log),
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert json.loads((glue.folder / "found.json").read_text()) == [landed for *_, landed in steps]
    assert log.read_text().splitlines() == [f"init {NAMES.job}", "commit"] * 5
    ended = glue.start(
        *("--engine", "duckdb", "--source", "s3://capstone-nowhere/events/"),
        master="local[1]",
        NEW_FILES="null",
        JOB_LOG=str(log),
    )
    assert ended.returncode == 2
    assert "s3://capstone-nowhere: no such bucket" in ended.stdout
    assert log.read_text().splitlines()[-1] == f"init {NAMES.job}"  # not committed


def line_for(place: str) -> bytes:
    return gzip.compress((EVENT % place.rpartition("/")[2]).encode())
