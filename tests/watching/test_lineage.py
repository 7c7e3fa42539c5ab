"""Lineage of real runs, held against what the reference client of OpenLineage makes of the same facts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deliveries import NOW, Shop, event, view
from openlineage.client import event_v2 as spec
from openlineage.client.facet_v2 import (
    error_message_run,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)
from openlineage.client.serde import Serde
from watching.listener import PATH, Listener, listening

from eventmint import __version__
from eventmint.config import LineageSettings, load_settings
from eventmint.contracts import ANSWERS, contract
from eventmint.errors import FixData, FixSettings, LockHeld
from eventmint.storage import lock
from eventmint.watching import post
from eventmint.watching.lineage import RunLineage

PRODUCER = f"urn:eventmint:{__version__}"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, {"lineage__file": str(tmp_path / "lineage.jsonl"), "lineage__namespace": "my shop"})


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


def told(shop: Shop) -> list[dict[str, Any]]:
    file = shop.folder / "lineage.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def by_the_reference_client(event_told: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the event that the reference client makes of these facts, and of the id and time told."""
    made = spec.RunEvent(
        eventType=facts["kind"],
        eventTime=event_told["eventTime"],
        producer=PRODUCER,
        run=spec.Run(event_told["run"]["runId"], facts.get("run_facets", {})),
        job=spec.Job("my shop", "run"),
        inputs=facts["inputs"],
        outputs=facts.get("outputs", []),
    )
    return dict(without_nothing(Serde.to_dict(made)))


def without_nothing(value: Any) -> Any:
    """Leave out what the client leaves out in some versions: fields without a value, empty facets."""
    if isinstance(value, dict):
        kept = {name: without_nothing(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, {}, [])}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


def table(shop: Shop, name: str, rows: int) -> spec.OutputDataset:
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=column.name, type=column.type, description=column.doc)
        for column in contract(name).columns
    ]
    return spec.OutputDataset(
        namespace="file",
        name=f"{shop.folder}/lake/{name.replace('.', '/')}",
        facets={"schema": schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER)},
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=rows, producer=PRODUCER
            )
        },
    )


def test_a_run_tells_what_it_reads_and_writes_as_the_reference_client_would(shop: Shop) -> None:
    shop.deliver("a", view(), view(), event(), b"{")
    shop.deliver("b", view(timestamp="2025-06-14T10:00:00Z"))
    shop.run()
    start, complete = told(shop)
    source = spec.InputDataset("file", str(shop.source))
    assert without_nothing(start) == by_the_reference_client(start, kind=spec.RunState.START, inputs=[source])
    source.inputFacets = {
        "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            rowCount=5, fileCount=2, producer=PRODUCER
        )
    }
    rows = {"bronze.events": 5, "silver.events_cleaned": 3}
    rows |= {f"gold.{answer}": shop.lake.answer(answer).num_rows for answer in ANSWERS}
    assert without_nothing(complete) == by_the_reference_client(
        complete,
        kind=spec.RunState.COMPLETE,
        inputs=[source],
        outputs=[table(shop, name, count) for name, count in rows.items()],
    )
    assert start["run"] == complete["run"]
    assert datetime.fromisoformat(complete["eventTime"]) > datetime.fromisoformat(start["eventTime"])


def test_each_run_has_an_id_of_its_own_and_counts_only_what_it_wrote(shop: Shop, listener: Listener) -> None:
    shop.settings |= {"lineage__url": listener.url, "lineage__api_key": "k3y"}
    shop.deliver("a", view(), event())
    shop.run()
    shop.run()  # it finds nothing new, and tells nothing
    with lock(str(shop.folder / "lake")), pytest.raises(LockHeld):
        shop.run()
    shop.deliver("b", view(timestamp="2025-06-14T10:00:00Z"))
    shop.run()
    events = told(shop)
    assert [item["eventType"] for item in events] == ["START", "COMPLETE"] * 2
    ids = [uuid.UUID(item["run"]["runId"]) for item in events]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    rows = {
        item["name"]: item["outputFacets"]["outputStatistics"]["rowCount"] for item in events[3]["outputs"]
    }
    lake = f"{shop.folder}/lake"
    assert rows[f"{lake}/bronze/events"] == rows[f"{lake}/silver/events_cleaned"] == 1
    assert rows[f"{lake}/gold/user_activity"] == 1  # one day was made again, the other one was left
    assert listener.documents == events
    assert all(path == PATH for path, _, _ in listener.requests)
    assert all(headers["Authorization"] == "Bearer k3y" for _, headers, _ in listener.requests)


def test_a_run_that_fails_tells_why_as_the_reference_client_would(shop: Shop) -> None:
    nowhere = shop.folder / "nowhere"
    with pytest.raises(FixSettings) as error:
        shop.lake.run(nowhere, now=NOW)
    start, fail = told(shop)
    assert start["eventType"] == "START"
    message = error_message_run.ErrorMessageRunFacet(
        message=str(error.value), programmingLanguage="python", producer=PRODUCER
    )
    assert without_nothing(fail) == by_the_reference_client(
        fail,
        kind=spec.RunState.FAIL,
        inputs=[spec.InputDataset("file", str(nowhere))],
        run_facets={"errorMessage": message},
    )


def test_who_does_not_take_it_is_a_warning(
    tmp_path: Path,
    listener: Listener,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(post, "PAUSE_SECONDS", 0.01)
    listener.answers = [500]
    settings = LineageSettings(file="no/such/folder", url=listener.url, api_key="k3y")
    RunLineage(settings, tmp_path, "/lake", "/data", NOW).begin()
    assert f"the lineage of this run (START) was not taken by {listener.address}: answered 500" in caplog.text
    assert "cannot be written: No such file or directory" in caplog.text
    assert "k3y" not in caplog.text
    assert PATH not in caplog.text


@pytest.mark.parametrize(
    ("location", "namespace", "name"),
    [
        ("/data/events/", "file", "/data/events"),
        ("/", "file", "/"),
        ("s3://shop/events/", "s3://shop", "events"),
        ("s3://shop/a/b", "s3://shop", "a/b"),
        ("s3://shop", "s3://shop", "/"),
    ],
)
def test_places_are_named_after_the_conventions(
    location: str, namespace: str, name: str, tmp_path: Path
) -> None:
    lineage = RunLineage(LineageSettings(file="x"), tmp_path, "s3://shop/lake", location, NOW)
    lineage.complete(NOW + timedelta(seconds=1), 1, 1, {"bronze.events": 1})
    start, complete = [json.loads(line) for line in (tmp_path / "x").read_text().splitlines()]
    assert start["inputs"] == [{"namespace": namespace, "name": name}]
    (output,) = complete["outputs"]
    assert (output["namespace"], output["name"]) == ("s3://shop", "lake/bronze/events")


def test_failing_before_anything_was_begun_is_a_run_too(tmp_path: Path) -> None:
    lineage = RunLineage(LineageSettings(file="x"), tmp_path, "/lake", "/data", NOW)
    lineage.fail(NOW, FixData("No.", "Yes."))
    kinds = [json.loads(line)["eventType"] for line in (tmp_path / "x").read_text().splitlines()]
    assert kinds == ["START", "FAIL"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("url", "file:///etc/s3cr3t"), ("url", "s3cr3t"), ("api_key", "s3cr3t\n"), ("namespace", "")],
)
def test_what_may_not_stand_in_the_settings(key: str, value: str) -> None:
    with pytest.raises(FixSettings, match=f"`lineage.{key}` must") as error:
        load_settings(flags={f"lineage.{key}": value})
    assert "s3cr3t" not in str(error.value)
