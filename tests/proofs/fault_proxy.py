"""A server of moto (S3 and Glue) that fails at the N-th request, as a network or a busy service does.

It also compares and swaps as Glue does, which moto does not: a client that repeats an update whose reply was
lost is told of a conflict.

The fault is made where the bytes pass: what moto has answered is kept back, cut short or thrown away, and the
connection is closed or reset. `SO_LINGER` of zero seconds makes the kernel send a reset instead of an end.
"""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aws.moto_at_once import install
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

BUSY = ("503 SlowDown", "500 InternalError")
CONDITIONS = ("409 ConditionalRequestConflict", "412 PreconditionFailed")
CUT = ("reset", "short body", "reply lost")
STALE = "400 ConcurrentModificationException"
KINDS = (*BUSY, *CONDITIONS, *CUT, "delayed")
DELAY_SECONDS = 0.3
_BUCKET = re.compile(r"^/(?P<bucket>[^/?]+)/?(?P<key>[^?]*)")


@dataclass
class Schedule:
    """Which request fails, and how.

    Attributes:
        number: of the request, counted from 1; 0 for none.
        kind: one of `KINDS`.
        for_good: whether all that come after it fail as well.
        requests: what each request was: the operation and the place that it was about.
    """

    number: int = 0
    kind: str = ""
    for_good: bool = False
    requests: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)
    taken: set[tuple[str, ...]] = field(default_factory=set)

    def takes(self, action: str, body: bytes) -> bool:
        """Whether Glue would take this: of two updates of one version of a table, the first."""
        if not action.endswith(".UpdateTable"):
            return True
        document = json.loads(body)
        version = (document["DatabaseName"], document["TableInput"]["Name"], document["VersionId"])
        with self.lock:
            is_first = version not in self.taken
            self.taken.add(version)
        return is_first

    def fault_of(self, request: str) -> str:
        with self.lock:
            self.requests.append(request)
            number = len(self.requests)
        hits = number == self.number or (self.for_good and 0 < self.number < number)
        return self.kind if hits else ""


def described(method: str, path: str, headers: Any, body: bytes) -> str:
    """What a request is: the action of Glue, or the operation of S3, with the table or the kind of file."""
    action = headers.get("X-Amz-Target", "")
    if action:
        document = json.loads(body or b"{}")
        table = document.get("TableInput", {}).get("Name") or document.get("Name", "")
        database = document.get("DatabaseName", "")
        return f"{action.rpartition('.')[2]} {database}.{table}"
    found = _BUCKET.match(path)
    key = found["key"] if found else ""
    query = path.partition("?")[2].partition("&")[0].partition("=")[0]
    is_conditional = any(headers.get(name) for name in ("If-Match", "If-None-Match"))
    return f"{method}{' if' if is_conditional else ''} {query if not key else what_lies_at(key)}"


def what_lies_at(key: str) -> str:
    parts = key.split("/")
    if "metadata" in parts:
        return f"{'.'.join(parts[1:3])} {key.rpartition('.')[2]}"
    return f"{'.'.join(parts[1:3])} data" if "data" in parts else parts[-1].rpartition(".")[2]


class _Handler(WSGIRequestHandler):
    """One connection; werkzeug closes it after its answer."""

    disable_nagle_algorithm = True  # small answers, each in several pieces: it would wait 40 ms for nothing
    schedule: Schedule

    def run_wsgi(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            del self.headers["Expect"]
        if self.path.startswith("/proof-"):
            self._answer_the_proof()
            return
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        fault = self.schedule.fault_of(described(self.command, self.path, self.headers, body))
        reaches_moto = fault not in (*BUSY, *CONDITIONS, "reset")
        if reaches_moto and not self.schedule.takes(self.headers.get("X-Amz-Target", ""), body):
            fault = STALE
        if fault == "reset":
            self._reset()
        elif fault in (*BUSY, *CONDITIONS, STALE):
            self._refuse(*fault.split(" "))
        else:
            answer = self._answer_of_moto(body, length)
            if fault == "delayed":
                time.sleep(DELAY_SECONDS)
            if fault == "reply lost":
                self._reset()
            elif fault == "short body":
                head, _, content = answer.partition(b"\r\n\r\n")
                self.wfile.write(head + b"\r\n\r\n" + content[: len(content) // 2])
                self._reset()
            else:
                self.wfile.write(answer)

    def _answer_the_proof(self) -> None:
        """Tell what was asked for so far; `/proof-heal` ends the fault."""
        if self.path == "/proof-heal":
            self.schedule.number = 0
        content = json.dumps(self.schedule.requests).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode() + content)
        self.close_connection = True

    def _answer_of_moto(self, body: bytes, length: int) -> bytes:
        real_out, real_in = self.wfile, self.rfile
        kept = io.BytesIO()
        self.wfile = kept
        if length:
            self.rfile = io.BufferedReader(io.BytesIO(body))
        try:
            super().run_wsgi()
        finally:
            self.wfile, self.rfile = real_out, real_in
        return kept.getvalue()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _refuse(self, status: str, code: str) -> None:
        said = "told by the proxy"
        if self.headers.get("X-Amz-Target"):  # Glue
            text = json.dumps({"__type": code, "message": said})
        else:
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message></Error>"
        content = b"" if self.command == "HEAD" else text.encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(int(status)).phrase}\r\nContent-Length: {len(content)}\r\n"
        self.wfile.write(f"{head}Connection: close\r\n\r\n".encode() + content)
        self.close_connection = True

    def log_request(self, *_arguments: Any) -> None:
        pass

    def log(self, *_arguments: Any) -> None:
        pass


def bound(port: int = 0) -> socket.socket:
    """A socket of this port, or of a free one, which stays taken for servers of ours while this is open."""
    taken = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        taken.setsockopt(socket.SOL_SOCKET, option, 1)
    taken.bind(("127.0.0.1", port))
    return taken


def server(app: Any, schedule: Schedule, port: int) -> BaseWSGIServer:
    """A server of moto on this port of this machine that fails as the schedule says."""
    install()
    handler = type("Handler", (_Handler,), {"schedule": schedule})
    with bound(port) as listening:
        listening.listen(128)
        fd = listening.fileno()  # it is duplicated
        return make_server("127.0.0.1", port, app, threaded=True, request_handler=handler, fd=fd)
