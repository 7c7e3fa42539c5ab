"""A web server of this machine that keeps what is posted to it and answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

PATH = "/services/T0/B0/s3cr3t"  # which nobody may show


@dataclass
class Listener:
    """What came, and what is answered: the first of `answers`, the last one for good.

    Attributes:
        answers: status codes; 0 lets the caller wait until the test is over.
    """

    address: str = ""
    answers: list[int] = field(default_factory=lambda: [200])
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    is_over: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://{self.address}{PATH}"

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.requests]

    @property
    def happenings(self) -> list[str]:
        return [document["happening"] for document in self.documents]

    def forget(self) -> None:
        self.requests.clear()


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.requests.append((self.path, dict(self.headers), body))
            answer = listener.answers.pop(0) if len(listener.answers) > 1 else listener.answers[0]
            if not answer:
                listener.is_over.wait()
                return
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            listener.requests.append((self.path, dict(self.headers), b"{}"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    listener.address = f"127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield listener
    finally:
        listener.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
