"""What is uploaded for the job: a wheel that pip takes, pins of what is installed, names made of contents."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from deployments import NAMES, REPOSITORY, account, client, keys_in, with_entry_script

from eventmint.aws.artifacts import (
    NEEDS,
    NEEDS_OF_REPORT,
    REQUIREMENTS,
    WHEEL,
    Artifacts,
    build,
    requirements,
    upload,
    wheel,
)
from eventmint.errors import FixSettings


@pytest.fixture(autouse=True)
def _entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    with_entry_script(monkeypatch)


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / WHEEL
    path.write_bytes(wheel())
    return path


# ---- the wheel ---------------------------------------------------------------------------------------------


def test_pip_installs_the_wheel_and_the_package_finds_its_files(wheel_file: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(tmp_path), str(wheel_file)], check=True)

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import eventmint;"
        "from eventmint.contracts import all_contracts; from eventmint.lake import Lake;"
        "print(eventmint.__file__, len(list(all_contracts())))"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    file, tables = told.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert int(tables) > 5


def test_the_wheel_works_without_being_unpacked_as_on_the_path_of_a_job(wheel_file: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import eventmint;"
        "from eventmint.contracts import all_contracts; from eventmint.aws.cost import load_prices;"
        "assert list(all_contracts()); assert load_prices(); print(eventmint.__file__)"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-c", code, str(wheel_file)], check=True, capture_output=True, text=True
    )
    assert told.stdout.startswith(str(wheel_file))


def test_every_file_of_the_wheel_is_in_its_register_with_its_hash(wheel_file: Path) -> None:
    with zipfile.ZipFile(wheel_file) as archive:
        names = set(archive.namelist())
        (record,) = [name for name in names if name.endswith("/RECORD")]
        entries = {
            name: (digest, size)
            for name, digest, size in csv.reader(io.StringIO(archive.read(record).decode()))
        }
        assert set(entries) == names
        assert entries.pop(record) == ("", "")
        for name, (digest, size) in entries.items():
            content = archive.read(name)
            found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, int(size)) == (f"sha256={found}", len(content))


def test_the_wheel_holds_every_file_of_the_package_and_no_compiled_one(wheel_file: Path) -> None:
    source = REPOSITORY / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "eventmint").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel_file) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_the_same_sources_make_the_same_bytes() -> None:
    assert wheel() == wheel()
    assert build().prefix == build().prefix


# ---- the modules -------------------------------------------------------------------------------------------


def test_the_job_needs_what_the_project_needs_and_boto3() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["aws"]]
    assert sorted(NEEDS) == sorted(re.split(r"[<>=!~]", need)[0] for need in needs)


def test_every_module_is_pinned_at_the_version_that_is_installed() -> None:
    pins = dict(line.split("==") for line in requirements(NEEDS).splitlines())
    assert {name: metadata.version(name) for name in pins} == pins
    assert {"boto3", "botocore", "duckdb", "pyarrow", "pyiceberg", "pydantic", "sqlalchemy"} <= set(pins)
    assert not {"pytest", "moto", "pyspark", "pandas", "eventmint"} & set(pins)


# What a clone has and a job does not: the report's needs, unless it is asked for, and the dashboard's.
OF_REPORT = {"jinja2", "markupsafe", "narwhals", "packaging", "plotly"}
OF_DASHBOARD = {"anyio", "h11", "starlette", "uvicorn"}


def test_the_pins_agree_with_the_locked_ones() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock, flags=re.MULTILINE))
    pins = dict(line.split("==") for line in requirements((*NEEDS, *NEEDS_OF_REPORT)).splitlines())
    needed = locked.keys() - OF_DASHBOARD
    assert {name: pins.get(name) for name in needed} == {name: locked[name] for name in needed}
    plain = dict(line.split("==") for line in requirements(NEEDS).splitlines())
    assert plain == {name: version for name, version in pins.items() if name not in OF_REPORT}
    assert b"plotly" in build(with_report=True).contents[REQUIREMENTS]
    assert b"plotly" not in build().contents[REQUIREMENTS]


def test_a_module_that_is_not_installed_is_named() -> None:
    with pytest.raises(FixSettings, match="no-such-module is not installed"):
        requirements(["no-such-module"])


# ---- names and uploads -------------------------------------------------------------------------------------


def test_any_change_of_any_content_changes_the_name() -> None:
    one = Artifacts({"a": b"1", "b": b"2"})
    assert re.fullmatch(r"artifacts/[0-9a-f]{16}", one.prefix)
    others = [{"a": b"1", "b": b"3"}, {"a": b"12", "b": b""}, {"a": b"1", "c": b"2"}, {"a": b"1"}]
    assert len({one.prefix, *(Artifacts(other).prefix for other in others)}) == 5
    assert Artifacts({"b": b"2", "a": b"1"}).prefix == one.prefix


@pytest.mark.usefixtures("aws")
def test_only_what_is_missing_is_uploaded() -> None:
    s3, made = client("s3"), Artifacts({"a": b"1", "b": b"2"})
    s3.create_bucket(
        Bucket=NAMES.analytics_bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    s3.put_bucket_versioning(Bucket=NAMES.analytics_bucket, VersioningConfiguration={"Status": "Enabled"})

    assert upload(s3, NAMES.analytics_bucket, NAMES.account, made) == list(made.keys)
    before = account()
    assert upload(s3, NAMES.analytics_bucket, NAMES.account, made) == []
    assert account() == before
    s3.delete_object(Bucket=NAMES.analytics_bucket, Key=f"{made.prefix}/b")
    assert upload(s3, NAMES.analytics_bucket, NAMES.account, made) == [f"{made.prefix}/b"]
    assert keys_in(NAMES.analytics_bucket) == sorted(made.keys)
    body = s3.get_object(Bucket=NAMES.analytics_bucket, Key=f"{made.prefix}/b")["Body"].read()
    assert body == b"2"
