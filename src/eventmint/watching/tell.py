"""Tell: notices go to webhooks and to an SNS topic. That nobody takes one is a warning, never an error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eventmint.config import NotifySettings
from eventmint.errors import EventmintError
from eventmint.storage import is_s3
from eventmint.storage.local import write_whole
from eventmint.storage.session import client, telling
from eventmint.watching.notices import Notice, Source, document
from eventmint.watching.post import Undelivered, post_json

log = logging.getLogger(__name__)
# Below the lake's root: what lasts and was told, so that it is not told at every run.
MARK = ".told.json"


def tell(
    notices: Iterable[Notice], settings: NotifySettings, source: Source, *, is_over: bool = True
) -> None:
    """Send each notice to all who want it; one that lasts only when it begins.

    Args: is_over: whether what lasted and is not among them has ended; a run that failed does not know.
    """
    wanted = [notice for notice in notices if notice.happening in settings.on]
    told = _told(source.lake)
    lasting = {notice.lasting for notice in wanted if notice.lasting}
    for notice in wanted:
        is_new = notice.lasting not in told
        if is_new and not _send(document(notice, source), settings):
            lasting.discard(notice.lasting)  # nobody was reached: the next run tries again
    if not is_over:
        lasting |= told
    if lasting != told:
        _note_told(source.lake, lasting)


def _send(body: Mapping[str, Any], settings: NotifySettings) -> bool:
    """Return whether anybody took it."""
    taken = False
    for url in settings.webhooks:
        try:
            post_json(url, body)
            taken = True
        except Undelivered as err:
            log.warning("a notice (%s) was not taken by %s", body["happening"], err)
    if settings.sns_topic:
        try:
            _publish(settings.sns_topic, body)
            taken = True
        except EventmintError as err:
            log.warning("a notice (%s) was not taken by SNS: %s", body["happening"], err)
    return taken


def _publish(topic: str, body: Mapping[str, Any]) -> None:
    sns = client("sns", topic.split(":")[3], is_patient=False)
    with telling():
        sns.publish(
            TopicArn=topic,
            Subject=f"eventmint: {str(body['happening']).replace('_', ' ')}",
            # A mail shows the sentence; everything else gets the document.
            Message=json.dumps({"default": json.dumps(body, default=str), "email": body["text"]}),
            MessageStructure="json",
            MessageAttributes={"happening": {"DataType": "String", "StringValue": body["happening"]}},
        )


def _told(lake: str) -> set[str]:
    try:
        found = json.loads(_read(f"{lake}/{MARK}") or "[]")
    except (EventmintError, OSError, ValueError) as err:
        log.warning("what was told before cannot be read, it is told again: %s", err)
        return set()
    return {str(item) for item in found} if isinstance(found, list) else set()


def _note_told(lake: str, lasting: set[str]) -> None:
    try:
        _write(f"{lake}/{MARK}", json.dumps(sorted(lasting)))
    except (EventmintError, OSError) as err:
        log.warning("what was told cannot be noted, it is told again: %s", err)


def _read(location: str) -> str | None:
    if is_s3(location):
        from eventmint.storage import s3

        return s3.read_text(location)
    path = Path(location)
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(location: str, text: str) -> None:
    if is_s3(location):
        from eventmint.storage import s3

        s3.write_text(location, text)
    elif (path := Path(location)).parent.is_dir():  # a run that failed may have no lake yet
        write_whole(path, text)
