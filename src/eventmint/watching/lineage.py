"""Lineage: each run as events of OpenLineage, to a file of JSON lines or to a URL.

A run that takes something in tells START, then COMPLETE or FAIL. Written by hand: it is a dozen fields, and
the tests hold them to the reference client.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from eventmint.config import LineageSettings
from eventmint.contracts import contract
from eventmint.errors import EventmintError
from eventmint.storage import is_s3
from eventmint.watching.post import Undelivered, post_json

log = logging.getLogger(__name__)

JOB = "run"
PRODUCER = f"urn:eventmint:{import_module('eventmint').__version__}"
SPEC = "https://openlineage.io/spec"
SCHEMA_URL = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "SchemaDatasetFacet": "1-2-0",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "ErrorMessageRunFacet": "1-0-1",
}
Document = dict[str, Any]


@dataclass
class RunLineage:
    """What one run tells.

    Attributes:
        lake, source: addresses.
        started_at: UTC; with the lake it makes the run's id.
        has_begun: whether START was told.
    """

    settings: LineageSettings
    home: Path
    lake: str
    source: str
    started_at: datetime
    has_begun: bool = False

    def begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            self._emit("START", self.started_at, inputs=[self._input()])

    def complete(self, at: datetime, files: int, lines: int, rows: Mapping[str, int]) -> None:
        """Tell what was read and written.

        Args:
            files, lines: of the source, landed by this run.
            rows: rows written, by table.
        """
        self.begin()
        statistics = _facet("InputStatisticsInputDatasetFacet", fileCount=files, rowCount=lines)
        source = {**self._input(), "inputFacets": {"inputStatistics": statistics}}
        outputs = [self._output(table, count) for table, count in rows.items()]
        self._emit("COMPLETE", at, inputs=[source], outputs=outputs)

    def fail(self, at: datetime, error: EventmintError) -> None:
        self.begin()
        facet = _facet("ErrorMessageRunFacet", message=str(error), programmingLanguage="python")
        self._emit("FAIL", at, inputs=[self._input()], run_facets={"errorMessage": facet})

    def _input(self) -> Document:
        return _named(self.source)

    def _output(self, table: str, rows: int) -> Document:
        columns = contract(table).columns
        fields = [{"name": item.name, "type": item.type, "description": item.doc} for item in columns]
        return {
            **_named(f"{self.lake}/{table.replace('.', '/')}"),
            "facets": {"schema": _facet("SchemaDatasetFacet", fields=fields)},
            "outputFacets": {"outputStatistics": _facet("OutputStatisticsOutputDatasetFacet", rowCount=rows)},
        }

    def _emit(
        self,
        kind: str,
        at: datetime,
        *,
        inputs: Iterable[Document],
        outputs: Iterable[Document] = (),
        run_facets: Mapping[str, Document] | None = None,
    ) -> None:
        run_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.lake}#{self.started_at.isoformat()}")
        event = {
            "eventType": kind,
            "eventTime": at.isoformat(),
            "producer": PRODUCER,
            "schemaURL": SCHEMA_URL,
            "run": {"runId": str(run_id), "facets": dict(run_facets or {})},
            "job": {"namespace": self.settings.namespace, "name": JOB, "facets": {}},
            "inputs": [*inputs],
            "outputs": [*outputs],
        }
        self._write(event)
        self._post(event)

    def _write(self, event: Document) -> None:
        if not self.settings.file:
            return
        try:
            with (self.home / self.settings.file).open("a", encoding="utf-8") as sink:
                sink.write(json.dumps(event) + "\n")
        except OSError as err:
            log.warning("lineage.file: %s: cannot be written: %s", self.settings.file, err.strerror)

    def _post(self, event: Document) -> None:
        if not self.settings.url:
            return
        try:
            post_json(self.settings.url, event, token=self.settings.api_key)
        except Undelivered as err:
            log.warning("the lineage of this run (%s) was not taken by %s", event["eventType"], err)


def _facet(name: str, **values: Any) -> Document:
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{SPEC}/facets/{FACETS[name]}/{name}.json#/$defs/{name}",
        **values,
    }


def _named(location: str) -> Document:
    """A dataset by its address, named after OpenLineage's conventions."""
    if not is_s3(location):
        return {"namespace": "file", "name": location.rstrip("/") or "/"}
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return {"namespace": f"s3://{bucket}", "name": key.rstrip("/") or "/"}
