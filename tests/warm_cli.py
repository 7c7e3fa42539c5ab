"""`eventmint` for a shell, started in milliseconds: a fork of a server that has imported everything.

Each command still is a process of its own, with the arguments, the folder, the environment and the streams
that the shell gave it, and ends with its own exit code. Run as a program, this file is the server.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# -I -S: what it needs is built in, and the site-packages that it does not need take the time.
_CLIENT = """#!{python} -IS
import json, os, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)])
socket.send_fds(server, [b"fds"], [0, 1, 2])
server.sendall(asked.encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.makefile().read()))
"""


@contextmanager
def warm_eventmint(folder: Path, package: Path | None = None) -> Iterator[Path]:
    """Yield a folder for PATH whose `eventmint` is quick: the one that is installed, or that of a folder."""
    address = folder / "server"
    environment = {**os.environ, **({"PYTHONPATH": str(package)} if package else {})}
    program = [sys.executable, "-P", __file__, str(address)]
    server = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        assert server.stdout.read(1) == b"."  # it listens
        client = folder / "eventmint"
        client.write_text(_CLIENT.format(python=sys.executable, address=str(address)), encoding="utf-8")
        client.chmod(0o755)
        yield folder
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def _serve(address: str) -> None:
    import pyiceberg.catalog.sql  # noqa: F401

    import eventmint.cli  # its commands; what they import late comes below
    import eventmint.engine.duckdb_engine
    import eventmint.lake
    import eventmint.serve.answers
    import eventmint.serve.screens

    gc.disable()  # a collection in a fork would copy all that it shares with its parent
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    os.write(1, b".")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who waits for a command is a fork of its own
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            break
        connection.close()
    _, streams, _, _ = socket.recv_fds(connection, 3, 3)
    command = os.fork()
    if command == 0:
        _become(json.loads(connection.makefile().read()), streams)
        connection.close()
        code = eventmint.cli.main()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # to take apart what it shares with the server would take longer than most commands
    for stream in streams:
        os.close(stream)
    code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    connection.sendall(str(code if code >= 0 else 128 - code).encode())  # as a shell says it
    os._exit(0)


def _become(asked: tuple[list[str], str, dict[str, str]], streams: list[int]) -> None:
    arguments, folder, environment = asked
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Those of the server know whether what it had been given could be sought in, and this may not.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as it lives
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["eventmint", *arguments]


if __name__ == "__main__":
    _serve(sys.argv[1])
