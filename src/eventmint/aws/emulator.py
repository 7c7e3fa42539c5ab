"""An AWS on this machine: moto's server in a process of its own, and this process pointed to it.

It keeps S3, the Glue catalog, IAM, Lambda and more in memory; it runs no SQL, no job, no function. The server
ends with this process, however that ends: it waits on a pipe that closes.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec

from eventmint.errors import FixSettings, TryAgain

ACCOUNT = "123456789012"
_SERVE = """
import logging, sys
for name in ("werkzeug", "moto"):
    logging.getLogger(name).setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    endpoint: str
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End the server; what it kept is gone."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait(timeout=20)

    def reset(self) -> None:
        """Forget every resource."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30):
            pass


def start(region: str) -> Emulator:
    """Start an emulator and point this process and its children to it.

    Raises: FixSettings: moto is missing. TryAgain: it did not start.
    """
    if find_spec("moto") is None or find_spec("flask") is None:
        raise FixSettings("The emulator is not installed.", "Install it with `pip install moto[server]`.")
    # Credentials of a person have no business there.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    log = tempfile.TemporaryFile()  # noqa: SIM115 - the server writes to it as long as it runs
    process = subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", _SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # Ctrl-C is meant for us
        env=kept | {"MOTO_ACCOUNT_ID": ACCOUNT},
    )
    port = process.stdout.readline().strip() if process.stdout else ""
    emulator = Emulator(f"http://127.0.0.1:{port}", process)
    if not port:
        emulator.stop()
        raise TryAgain(
            f"The emulator did not start (exit code {process.returncode}).", "See its words above."
        )
    atexit.register(emulator.stop)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= environment(emulator.endpoint, region)
    return emulator


def environment(endpoint: str, region: str) -> dict[str, str]:
    """Return the variables that point a process to an emulator."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": _without_proxy(),
        "no_proxy": _without_proxy(),
    }


def _without_proxy() -> str:
    named = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    return ",".join(dict.fromkeys([*filter(None, named.split(",")), "127.0.0.1", "localhost"]))
