"""The guard: who may ask, and what every answer forbids the browser.

A page of another site that a user has open can send requests here. It cannot read the answers (no CORS), and
by DNS rebinding, where the site's own name suddenly means this machine, it is told by the Host header. Beyond
this machine a token is asked for as well.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import socket
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventmint.errors import FixSettings
from eventmint.serve.dashboard.listening import EVERYWHERE, LOCAL_NAMES
from eventmint.serve.dashboard.replies import refusal
from eventmint.serve.pages.html import STYLES

_POLICY = (
    f"default-src 'none'; script-src 'self'; {STYLES}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Lets requests through to an application that may pass.

    Args:
        names: hosts by which the dashboard may be called; any IP address too where there is a token, for only
            a name can be rebound.
        token: what must be shown; None on this machine only.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], token: str | None) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._token = token
        # Cookies know no ports: each dashboard of a machine has a name of its own.
        self._cookie = f"eventmint-{hashlib.sha256((token or '').encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server speaks nothing else
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        stopped = self._stopped(scope)
        await (stopped or self._app)(scope, receive, send_guarded)

    def _stopped(self, scope: Scope) -> Response | None:
        """Return what to answer instead; None where the request may pass."""
        headers = Headers(scope=scope)
        host = _host_of(headers.get("host", ""))
        if not self._is_ours(host):
            names = " and ".join(sorted(self._names & LOCAL_NAMES) or sorted(self._names))
            return refusal(
                FixSettings(f"{host or 'no host'}: not a name of this dashboard.", f"It answers to {names}."),
                headers,
                status=421,
            )
        if scope["method"] not in ("GET", "HEAD"):
            error = FixSettings(f"{scope['method']}: the dashboard only reads.", "Use GET.")
            return refusal(error, headers, status=405, headers={"Allow": "GET, HEAD"})
        is_public = scope["path"].startswith("/static/")  # no data, and an error page needs its style
        return self._stopped_by_token(scope, headers) if self._token and not is_public else None

    def _is_ours(self, host: str) -> bool:
        return host in self._names or (self._token is not None and _is_address(host))

    def _stopped_by_token(self, scope: Scope, headers: Headers) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(query).get("token")
        if shown is not None and self._is_right(shown):
            # Out of the address, where history and screenshots would keep it.
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            reply = RedirectResponse(f"{scope['path']}{'?' if rest else ''}{rest}", status_code=303)
            reply.set_cookie(self._cookie, shown, httponly=True, samesite="lax")
            return reply
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_right(bearer) or self._is_right(self._shown_by_cookie(headers)):
            return None
        return refusal(
            FixSettings(
                "The dashboard asks for its token.",
                "Open the address that `eventmint serve` has printed, or send `Authorization: Bearer TOKEN`.",
            ),
            headers,
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _shown_by_cookie(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found else ""

    def _is_right(self, shown: str) -> bool:
        return bool(self._token) and secrets.compare_digest(shown.encode(), (self._token or "").encode())


def names_of(host: str) -> set[str]:
    """Return the names by which a dashboard may be called that listens on a host."""
    own = {socket.gethostname(), socket.getfqdn()} if host in EVERYWHERE else set()
    return {host, *own, *LOCAL_NAMES}


def _host_of(header: str) -> str:
    """Return the name in a Host header, in lower case and without its port; empty where it is none."""
    name, _, port = (
        header.rpartition(":") if not header.endswith("]") and ":" in header else (header, "", "0")
    )
    if not port.isdecimal():
        return ""
    return name.lower().removeprefix("[").removesuffix("]")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
