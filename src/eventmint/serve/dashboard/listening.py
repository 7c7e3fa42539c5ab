"""Listening: the socket and the address that leads to it, before anything is loaded that answers."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlencode

from eventmint.errors import FixSettings

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what a user asks for, with a token
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


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
