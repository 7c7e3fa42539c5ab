"""A JSON document to somebody's web server: a short timeout, one more try, and no word of the address but
its host, for the rest may be a secret."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

SECONDS = 5
PAUSE_SECONDS = 0.5
_WORTH_ANOTHER_TRY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class Undelivered(Exception):
    """Nobody took it; the message says who did not, and why."""


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST becomes a GET: answered with 200, and nothing was delivered."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = build_opener(_NoRedirects)


def host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def post_json(url: str, document: Mapping[str, Any], *, token: str = "") -> None:
    """Deliver a document to an `http://` or `https://` address, within about ten seconds.

    Args: token: sent as a bearer token.
    Raises: Undelivered: it was not taken.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "eventmint"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(document, default=str).encode()
    refusal = _refusal(url, body, headers)
    if refusal and refusal[1]:
        time.sleep(PAUSE_SECONDS)
        refusal = _refusal(url, body, headers)
    if refusal:
        raise Undelivered(f"{host_of(url)}: {refusal[0]}")


def _refusal(url: str, body: bytes, headers: dict[str, str]) -> tuple[str, bool] | None:
    """Return why it was not taken, and whether another try may help; None where it was taken."""
    try:
        with _opener.open(Request(url, body, headers), timeout=SECONDS):  # noqa: S310 - settings let no other scheme in
            return None
    except HTTPError as err:
        err.close()
        is_passing = err.code >= HTTPStatus.INTERNAL_SERVER_ERROR or err.code in _WORTH_ANOTHER_TRY
        return f"answered {err.code}", is_passing
    except URLError as err:
        return " ".join(str(err.reason).split()), True
    except (OSError, HTTPException) as err:
        # Not its text: that of an address which cannot be is the address.
        return type(err).__name__, True
