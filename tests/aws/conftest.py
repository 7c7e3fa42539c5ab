"""An AWS to test against: moto's server in a process of its own, empty at the start of every test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REGION = "us-west-2"
ACCOUNT = "123456789012"  # whose resources moto keeps
SECONDS_TO_START = 60


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running moto server. Its log lies in a file that is shown when it does not start."""
    log = tmp_path_factory.mktemp("moto") / "server.log"
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("moto_at_once.py")),
                "-H",
                "127.0.0.1",
                "-p",
                str(port),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment_of_the_server(),
        )
    try:
        _wait_until_it_answers(endpoint, server, log)
        yield endpoint
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def aws(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An AWS account without any resource, reached by every AWS client of this process and its children.

    Returns:
        the endpoint, for clients that do not read the environment.
    """
    _post(f"{moto_endpoint}/moto-api/reset")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": moto_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # No file of the person who runs the tests is read.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    for proxy in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(proxy, "127.0.0.1,localhost")
    return moto_endpoint


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment_of_the_server() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "MOTO_ACCOUNT_ID": ACCOUNT}


def _wait_until_it_answers(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            _get(f"{endpoint}/moto-api/data.json")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"moto's server did not start:\n{log.read_text(errors='replace')[-4000:]}")


# Without the proxies that the environment may name: the server is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str) -> None:
    with _opener.open(url, timeout=5):
        pass


def _post(url: str) -> None:
    with _opener.open(url, data=b"", timeout=30):
        pass


@pytest.fixture
def client(aws: str) -> Iterator[Any]:
    """S3 with the two buckets of the deployment `dev`, for what runs in this process and beside it."""
    import boto3

    from eventmint.aws.names import Names
    from eventmint.storage import s3

    del aws
    names = Names("dev", ACCOUNT)
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
    client = boto3.client("s3")
    place = {"LocationConstraint": REGION}
    for bucket in (names.source_bucket, names.analytics_bucket):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    yield client
    s3.s3_client.cache_clear()
    s3.downloads.cache_clear()
