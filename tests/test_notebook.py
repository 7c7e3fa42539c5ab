"""The notebook as a reader runs it: twice in each place, with the lake's own numbers, and left as it was."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from eventmint.contracts import ANSWERS
from eventmint.lake import open_lake

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOK = REPOSITORY / "build_pipeline.ipynb"
MOST_LINES = 10
PLOTLY = "application/vnd.plotly.v1+json"


def cells(notebook: Path = NOTEBOOK) -> list[dict[str, Any]]:
    return list(json.loads(notebook.read_text(encoding="utf-8"))["cells"])


# ---- as committed ------------------------------------------------------------------------------------------


def test_it_is_committed_without_outputs_and_names_its_kernel() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
    metadata = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"] == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }


def test_nbstripout_finds_nothing_to_strip() -> None:
    pytest.importorskip("nbstripout", reason="needs nbstripout")
    command = [sys.executable, "-m", "nbstripout", "--verify", str(NOTEBOOK)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_cells_are_short_and_the_first_one_takes_parameters() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert max(len(cell["source"]) for cell in code) <= MOST_LINES
    assert code[0]["metadata"]["tags"] == ["parameters"]
    assert 'target = os.environ.get("EVENTMINT_TARGET", "local")' in "".join(code[0]["source"])


# ---- as executed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["local", "emulator"])
def executed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[Path], list[str]]:
    """A target, the notebooks of two executions, and the digest of the source before and after each."""
    for module in ("ipykernel", "nbclient", "plotly"):
        if find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install 'eventmint[notebook]'")
    if request.param == "emulator" and find_spec("moto") is None:
        pytest.skip("needs moto: pip install 'moto[server]'")
    folder = tmp_path_factory.mktemp(request.param)
    digests, outputs = [digest()], []
    for number in (1, 2):
        outputs.append(folder / f"executed-{number}.ipynb")
        execute(request.param, folder, outputs[-1])
        digests.append(digest())
    return request.param, outputs, digests


def execute(target: str, folder: Path, output: Path, **variables: str) -> None:
    """Execute with nothing in the environment but what the operating system needs: no kernel of anybody's."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY / "src"),
        "EVENTMINT_TARGET": target,
        "EVENTMINT_WORK": str(folder / "work"),
        **variables,
    }
    program = [str(Path(sys.executable).with_name("jupyter-execute")), str(NOTEBOOK)]
    done = subprocess.run(
        [*program, f"--output={output}", "--timeout=300"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def digest() -> str:
    return hashlib.sha256(NOTEBOOK.read_bytes()).hexdigest()


def outputs_of(notebook: Path) -> list[dict[str, Any]]:
    return [output for cell in cells(notebook) for output in cell.get("outputs", ())]


def printed(notebook: Path) -> str:
    streams = [output for output in outputs_of(notebook) if output["output_type"] == "stream"]
    return "".join("".join(output["text"]) for output in streams if output["name"] == "stdout")


def figures_of(notebook: Path) -> list[dict[str, Any]]:
    return [output["data"][PLOTLY] for output in outputs_of(notebook) if PLOTLY in output.get("data", {})]


def tables_of(notebook: Path) -> list[str]:
    found = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs_of(notebook)]
    return [text for text in found if text.startswith("<table>")]


def cells_in(table: str) -> list[str]:
    return re.findall(r"<td[^>]*>(.*?)</td>", table)


def test_two_executions_succeed_and_leave_the_source_as_it_was(
    executed: tuple[str, list[Path], list[str]],
) -> None:
    _, notebooks, digests = executed
    assert len(set(digests)) == 1
    for notebook in notebooks:
        assert {output["output_type"] for output in outputs_of(notebook)} == {"stream", "display_data"}
        assert "Traceback" not in notebook.read_text(encoding="utf-8")


def test_each_shows_five_tables_and_five_figures_with_the_numbers_of_the_lake(
    executed: tuple[str, list[Path], list[str]], sample_lake: Path
) -> None:
    lake = open_lake(sample_lake / "eventmint.toml")
    rows = {name: lake.answer(name).to_pylist() for name in ANSWERS}
    for notebook in executed[1]:
        tables, figures = tables_of(notebook), figures_of(notebook)
        assert (len(tables), len(figures)) == (5, 5)
        counts = re.findall(r"<p>(?:[\d,]+ of )?([\d,]+) rows?</p>", "".join(tables))
        assert [int(count.replace(",", "")) for count in counts] == [len(rows[name]) for name in ANSWERS]
        hours = [[f"{row['total_revenue']:,.2f}", str(row["event_hour"])] for row in rows["hourly_revenue"]]
        assert [[cells_in(tables[1])[n + 2], cells_in(tables[1])[n + 1]] for n in range(0, 20, 5)] == hours
        assert cells_in(tables[4]) == [
            text
            for row in rows["user_activity"]
            for text in (
                str(row["event_date"]),
                *(f"{row[name]:,}" for name in ("unique_users", "unique_sessions", "events")),
            )
        ]
        funnel = [sum(row[step] for row in rows["conversion_funnel"]) for step in ("views", "purchases")]
        labels = figures[0]["data"][0]["text"]
        assert [labels[0], labels[2]] == [f"{count:,}" for count in funnel]
        newest = [row for row in rows["top_products"] if str(row["event_date"]) == "2026-01-15"]
        assert figures[2]["data"][0]["text"] == [f"{row['view_count']:,}" for row in newest]


def test_no_figure_has_the_button_that_sends_its_rows_away(
    executed: tuple[str, list[Path], list[str]],
) -> None:
    for figure in figures_of(executed[1][0]):
        assert figure["config"]["showSendToCloud"] is False


def test_a_second_run_changes_nothing_within_an_execution_and_between_two(
    executed: tuple[str, list[Path], list[str]],
) -> None:
    target, notebooks, _ = executed
    first, second = (printed(notebook) for notebook in notebooks)
    assert re.findall(r"^run +(tables changed|nothing is new)", first, re.MULTILINE) == [
        "tables changed",
        "nothing is new",
    ]
    unchanged = [line for line in first.splitlines() if line.startswith("unchanged")]
    assert len(unchanged) == 13
    assert any("silver.events_cleaned" in line and "55,783 rows" in line for line in unchanged)
    if target == "local":
        assert "tables changed" not in second
        # Snapshots included.
        assert [line for line in second.splitlines() if line.startswith("unchanged")] == unchanged


def test_it_tells_that_every_line_is_accounted_for_and_what_it_costs(
    executed: tuple[str, list[Path], list[str]],
) -> None:
    for notebook in executed[1]:
        text = printed(notebook)
        assert "60,000 lines = 72 blank + 59,844 valid + 84 quarantined" in text
        assert "59,844 valid = 55,783 events + 4,061 duplicates" in text
        assert "queries in Athena" in text
        assert "\x1b" not in text


def test_in_the_emulator_every_resource_is_asked_for_and_what_it_cannot_hold_is_said(
    executed: tuple[str, list[Path], list[str]],
) -> None:
    target, notebooks, _ = executed
    if target != "emulator":
        return
    for notebook in notebooks:
        text = printed(notebook)
        asserted = {kind: int(n) for n, kind in re.findall(r"^asserted +(\d+) x (\S+)", text, re.MULTILINE)}
        assert asserted["AWS::Glue::Job"] == 1
        assert asserted["AWS::Athena::WorkGroup"] == 1
        assert asserted["AWS::Athena::NamedQuery"] == 5
        assert asserted["AWS::Glue::Database"] == 4
        assert re.search(r"^emulator +replayed \d+ resources", text, re.MULTILINE)
        assert re.search(r"^emulator +cannot hold .*AWS::Glue::TableOptimizer", text, re.MULTILINE)
        assert text.rstrip().endswith("emulator   stopped; what it kept is gone")
