"""The application: addresses, and what answers them. Every answer is of one published state."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventmint.config import Settings
from eventmint.errors import Bug, EventmintError, FixSettings, TryAgain
from eventmint.serve import answers, charts, theme
from eventmint.serve.dashboard import catalog, static
from eventmint.serve.dashboard.guard import Guard, names_of
from eventmint.serve.dashboard.openapi import openapi
from eventmint.serve.dashboard.questions import API, Asking, Question, Values, read_values
from eventmint.serve.dashboard.replies import compact, document_reply, refusal, table_reply
from eventmint.serve.pages import html
from eventmint.storage.trouble import telling_trouble

log = logging.getLogger(__name__)
JSON = "application/json"
_AT_ONCE = 4  # each may hold query.memory_mb
_PATIENCE_SECONDS = 60
_KEPT_BYTES = 32 << 20
_TAGS = re.compile(r'"([^"]*)"')  # strong or weak, one or several


class Dashboard:
    """Answers requests from `analytics.duckdb`, which runs replace while it is read.

    Args:
        database: where it is; called for each request, and free to bring it up to date.
    """

    def __init__(self, settings: Settings, database: Callable[[], Path]) -> None:
        self._settings = settings
        self._database = database
        self._limits = answers.limits_of(settings)
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._views: OrderedDict[str, bytes] = OrderedDict()
        self._views_lock = threading.Lock()

    def application(self, host: str, token: str | None) -> Guard:
        """Return the ASGI application.

        Args:
            host: where it listens.
            token: see `Guard`.
        """
        questions = catalog.questions_of_api(self._settings)
        document = compact(openapi(self._settings.report.title, questions))
        application = Starlette(
            routes=[
                Route("/", self._page),
                Route("/page/state", self._state),
                *(Route(q.path, partial(self._drawn, q)) for q in catalog.questions_of_page(self._settings)),
                *(Route(q.path, partial(self._answered, q)) for q in questions),
                Route(f"{API}/openapi.json", lambda _: Response(document, media_type=JSON)),
                Route("/static/{name}", static.reply),
            ],
            exception_handlers={
                EventmintError: _told,
                HTTPException: _unknown_address,
                Exception: _told_as_bug,
            },
        )
        return Guard(application, names_of(host), token)

    def _page(self, _request: Request) -> Response:
        """The page without figures: a browser reads its scripts while the first figures are worked out."""
        if not self._views:
            threading.Thread(target=self.warm_up).start()
        given = {"dark": theme.DARK, "config": charts.CONFIG}
        text = html.render(
            is_live=True,
            title=self._settings.report.title,
            made="Live, read-only,",
            styles=static.stylesheet("page.css"),
            given=html.packed(given),
            scripts=static.scripts("page.js", "plotly.min.js"),
        )
        return Response(text, media_type="text/html; charset=utf-8")

    def _state(self, _request: Request) -> Response:
        """What a page asks first, and then again and again: whether anything is new."""
        return Response(compact(self._start()), media_type=JSON)

    def _start(self) -> dict[str, Any]:
        version = self._version()  # before the tables: never a newer name than what is shown
        with self._asking() as asking:
            return {**catalog.start(asking), "fresh": catalog.fresh(asking), "version": version}

    def _drawn(self, question: Question, request: Request) -> Response:
        """What our own page shows. Kept, for many look at the same view."""
        values = read_values(question, request.query_params.multi_items())
        return Response(self._body(question, values), media_type=JSON)

    def _body(self, question: Question, values: Values) -> bytes:
        chosen = {name: value for name, value in values.items() if value is not None}
        key = f"{self._version()} {question.path} {urlencode(chosen)}"
        body = self._kept(key)
        if body is None:
            with self._asking() as asking:
                body = compact(question.answer(asking, values))
            self._keep(key, body)
        return body

    def warm_up(self) -> None:
        """Draw the first view ahead: importing what draws takes as long as a browser takes to ask."""
        try:
            [view] = [q for q in catalog.questions_of_page(self._settings) if q.path == catalog.VIEW]
            self._body(view, read_values(view, catalog.first_view(self._start())))
        except Exception as err:  # noqa: BLE001 - who asks for the view is told what is wrong with it
            log.debug("nothing drawn ahead: %s", err)

    def _answered(self, question: Question, request: Request) -> Response:
        values = read_values(question, request.query_params.multi_items())
        tag = self._version()
        headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
        if tag in _TAGS.findall(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        with self._asking() as asking:
            result = question.answer(asking, values)
            if question.is_table:
                name = question.path.rpartition("/")[2]
                reply = table_reply(result, name, values["format"], catalog.rows_wanted(values))
            else:
                reply = document_reply(result)
        reply.headers.update(headers)
        return reply

    # ---- one published state -------------------------------------------------------------------------------

    @contextmanager
    def _asking(self) -> Iterator[Asking]:
        """One published state of all tables, for one request. Not too many at once: each holds memory.

        Raises: TryAgain: others have been at it for too long.
        """
        if not self._turns.acquire(timeout=_PATIENCE_SECONDS):
            raise TryAgain("The dashboard is busy with other questions.", "Ask again in a minute.")
        try:
            with telling_trouble(), answers.asking(self._database(), self._limits) as ask:
                yield Asking(ask, self._settings, datetime.now(UTC))
        finally:
            self._turns.release()

    def _version(self) -> str:
        """A name of the published state: the file is never written to, only replaced."""
        status = self._database().stat()
        return f"{status.st_ino:x}-{status.st_mtime_ns:x}"

    def _kept(self, key: str) -> bytes | None:
        with self._views_lock:
            if key in self._views:
                self._views.move_to_end(key)
            return self._views.get(key)

    def _keep(self, key: str, body: bytes) -> None:
        with self._views_lock:
            self._views[key] = body
            while sum(map(len, self._views.values())) > _KEPT_BYTES:
                self._views.popitem(last=False)


def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, EventmintError)  # noqa: S101 - what it is registered for
    return refusal(error, request.headers)


def _unknown_address(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    unknown = FixSettings(f"{request.url.path}: no such address.", f"Those of the API: {API}/openapi.json.")
    return refusal(unknown, request.headers, status)


def _told_as_bug(request: Request, error: Exception) -> Response:
    log.debug("%s", request.url.path, exc_info=error)
    bug = Bug(f"a bug in eventmint: {type(error).__name__}.", "See where with -v.")
    return refusal(bug, request.headers, status=500)
