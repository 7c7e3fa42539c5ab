"""Starting the Glue job by hand, against a Glue that tells scripted states in Glue's own protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from eventmint.aws import waiting
from eventmint.aws.names import Names
from eventmint.aws.start import generate_events, run_job
from eventmint.errors import FixData, TryAgain

NAMES = Names("dev", "123456789012")
REGION = "us-west-2"


class Glue:
    """Each run tells its states one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {"new": ["STARTING", "RUNNING", "SUCCEEDED"]}
        self.message = ""
        self.at_work: list[str] = []
        self.calls: list[str] = []
        self.payload: tuple[dict[str, str], bytes] = ({}, b"{}")

    def answer(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(f"{call} {body.get('RunId', '')}".strip())
        if call == "GetJobRuns":
            return {"JobRuns": [self.told(run, self.states[run][0]) for run in self.at_work]}
        if call == "StartJobRun":
            return {"JobRunId": "new"}
        states = self.states[body["RunId"]]
        state = states.pop(0) if len(states) > 1 else states[0]
        return {"JobRun": self.told(body["RunId"], state)}

    def told(self, run: str, state: str) -> dict[str, Any]:
        return {"Id": run, "JobRunState": state, "ExecutionTime": 90, "ErrorMessage": self.message}


@pytest.fixture
def glue(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Glue]:
    del aws  # its environment, but another endpoint
    told = Glue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            call = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            headers, answer = (
                ({}, json.dumps(told.answer(call, json.loads(body))).encode()) if call else told.payload
            )
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.01)
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_is_started_and_awaited_and_each_state_is_said_once(glue: Glue) -> None:
    glue.states["new"] = ["STARTING", "RUNNING", "RUNNING", "SUCCEEDED"]
    said: list[str] = []
    assert run_job(NAMES, REGION, said.append)["JobRunState"] == "SUCCEEDED"
    assert said == [
        "job        new starting, 90 s",
        "job        new running, 90 s",
        "job        new succeeded, 90 s",
    ]


def test_a_run_at_work_is_awaited_before_ours_begins(glue: Glue) -> None:
    glue.states |= {"old": ["RUNNING", "RUNNING", "FAILED"], "ended": ["SUCCEEDED"]}
    glue.at_work = ["old", "ended"]
    run_job(NAMES, REGION, lambda _: None)
    assert [call for call in glue.calls if not call.startswith("GetJobRun new")] == [
        "GetJobRuns",
        "GetJobRun old",
        "GetJobRun old",
        "GetJobRun old",
        "StartJobRun",
    ]


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "STOPPED", "ERROR", "EXPIRED"])
def test_a_run_that_does_not_succeed_is_an_error_with_its_own_first_words(glue: Glue, state: str) -> None:
    glue.states["new"] = ["RUNNING", state]
    glue.message = "ImportError: no eventmint\n  at line 7"
    with pytest.raises(FixData) as caught:
        run_job(NAMES, REGION, lambda _: None)
    assert caught.value.message == f"capstone-etl-dev: run new is {state}: ImportError: no eventmint"


def test_a_run_that_does_not_end_is_left_to_go_on(glue: Glue) -> None:
    glue.states["new"] = ["RUNNING"]
    with pytest.raises(TryAgain, match="job run new: not done after"):
        run_job(NAMES, REGION, lambda _: None, limit_seconds=0.05)


def test_the_generator_says_what_it_wrote(glue: Glue) -> None:
    glue.payload = ({}, b'{"key": "events/x.jsonl.gz", "events": 612345}')
    assert generate_events(NAMES, REGION) == {"key": "events/x.jsonl.gz", "events": 612345}


def test_a_generator_that_fails_says_why(glue: Glue) -> None:
    glue.payload = ({"X-Amz-Function-Error": "Unhandled"}, b'{"errorMessage": "no such bucket"}')
    with pytest.raises(FixData, match="capstone-event-generator-dev failed: no such bucket"):
        generate_events(NAMES, REGION)
