"""A dashboard that answers on this machine, as `eventmint serve` lets it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from eventmint.lake import Lake
from eventmint.serve.dashboard.listening import listen
from eventmint.serve.dashboard.server import make_server


@contextmanager
def served(lake: Lake, token: str | None = None) -> Iterator[str]:
    """Yield its address, without a slash at the end."""
    listening = listen("127.0.0.1", 0)
    server = make_server(lake.dashboard("127.0.0.1", token))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
