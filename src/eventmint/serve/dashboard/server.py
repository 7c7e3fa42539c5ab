"""The server: listens on one socket until it is told to stop."""

from __future__ import annotations

import ipaddress
import logging
import re
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any
from urllib.parse import urlencode

import uvicorn

from eventmint.errors import FixSettings
from eventmint.serve.dashboard.guard import EVERYWHERE, LOCAL_NAMES

_GRACE_SECONDS = 2


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises: FixSettings: it cannot, and why."""
    place = f"{host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as err:
        raise FixSettings(f"{host}: no such host.", "Use 127.0.0.1, or an address of this machine.") from err
    except (OSError, UnicodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "that is no name of a host"
        raise FixSettings(
            f"{place}: cannot listen there: {reason}.", "Choose another --port, 0 for any that is free."
        ) from err


def is_near(host: str) -> bool:
    """Whether a host is this machine, and nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL_NAMES


def address_of(host: str, listening: socket.socket, token: str | None) -> str:
    """Return the address to open, from elsewhere too where everybody may come."""
    name = socket.gethostname() if host in EVERYWHERE else host
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/{query}"


def make_server(application: Any) -> Server:
    """Return a server of one thread; `run(sockets=[...])` answers until `should_exit` is set."""
    is_verbose = logging.getLogger("eventmint").isEnabledFor(logging.DEBUG)
    config = uvicorn.Config(
        application,
        log_config=None,
        log_level="info" if is_verbose else "critical",  # where nobody asked, no traceback
        access_log=is_verbose,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        http="h11",
        loop="asyncio",
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    logging.getLogger("uvicorn.access").addFilter(_without_token)
    return Server(config)


def _without_token(record: logging.LogRecord) -> bool:
    """Keep the token out of the log: whoever reads it would have the key."""
    if isinstance(record.args, tuple):
        hidden = (
            re.sub(r"\btoken=[^&]*", "token=...", arg) if isinstance(arg, str) else arg for arg in record.args
        )
        record.args = tuple(hidden)
    return True


def serve(application: Any, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answer until Ctrl-C or SIGTERM; what is being answered then has two seconds."""
    with listening:
        on_ready()
        make_server(application).run(sockets=[listening])


class Server(uvicorn.Server):
    """Takes a signal to stop as the ordinary end, where uvicorn would raise it once more."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
