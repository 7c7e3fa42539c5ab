"""The server: answers on one socket until it is told to stop."""

from __future__ import annotations

import logging
import re
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn

_GRACE_SECONDS = 2


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


def serve(application: Any, listening: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM; what is being answered then has two seconds."""
    make_server(application).run(sockets=[listening])


class Server(uvicorn.Server):
    """Takes a signal to stop as the ordinary end, where uvicorn would raise it once more."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
