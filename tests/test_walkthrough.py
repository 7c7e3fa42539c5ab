"""The notebook's steps in a folder: prepared again and again, run, asked, and the proof that can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from eventmint import walkthrough
from eventmint.errors import FixData, FixSettings, TryAgain
from eventmint.serve.html_table import HtmlTable
from eventmint.walkthrough import Place

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = sorted((REPOSITORY / "sample-data" / "events").rglob("*.gz"))


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with one file of events where a clone has its sample."""
    monkeypatch.chdir(tmp_path)
    deliver(tmp_path, FILES[0])
    return tmp_path


def deliver(clone: Path, file: Path) -> None:
    target = clone / file.relative_to(REPOSITORY)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def prepared(target: str = "local") -> Place:
    return walkthrough.prepare(target, Path("work"), engine="duckdb", confirm=False, say=quiet)


@pytest.mark.usefixtures("clone")
def test_a_target_that_is_none_is_refused_before_anything_is_written() -> None:
    with pytest.raises(FixSettings, match="EVENTMINT_TARGET is one of local, emulator, aws"):
        prepared("azure")
    assert not Path("work").exists()


@pytest.mark.usefixtures("clone")
def test_the_first_run_changes_tables_and_the_next_one_does_not() -> None:
    said: list[str] = []
    assert walkthrough.run(prepared(), said.append) is True
    assert walkthrough.run(prepared(), said.append) is False
    assert [line.split(",")[0] for line in said if line.startswith("run")] == [
        "run        tables changed",
        "run        nothing is new",
    ]


@pytest.mark.usefixtures("clone")
def test_the_place_is_the_folders_own_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTMINT_LAKE__ROOT", "somebodys-lake")
    place = prepared()
    walkthrough.run(place, quiet)
    assert not Path("work/local/somebodys-lake").exists()
    said: list[str] = []
    walkthrough.command(place, "status", "--json", say=said.append)
    assert '"schema_version"' in said[0]


def test_where_there_is_no_sample_one_is_generated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = prepared()
    made = {path: path.stat().st_mtime_ns for path in Path("work/local/data").rglob("*.gz")}
    assert len(made) == 24
    assert prepared().settings == place.settings
    assert {path: path.stat().st_mtime_ns for path in Path("work/local/data").rglob("*.gz")} == made


@pytest.mark.usefixtures("clone")
def test_a_second_run_is_proven_idle_by_rows_and_snapshots_of_every_table() -> None:
    place = prepared()
    walkthrough.run(place, quiet)
    proven = walkthrough.prove_idle(place, quiet)
    assert len(proven) == 13
    assert proven["bronze.ingested_files"][0] == 1
    assert all(isinstance(snapshot, int) for _, snapshot in proven.values())


def test_files_that_arrive_in_between_are_no_proof(clone: Path) -> None:
    place = prepared()
    walkthrough.run(place, quiet)
    deliver(clone, FILES[1])
    with pytest.raises(TryAgain, match="New files arrived between the two runs"):
        walkthrough.prove_idle(place, quiet)
    walkthrough.prove_idle(place, quiet)


@pytest.mark.usefixtures("clone")
def test_a_run_that_rewrites_a_table_fails_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    place = prepared()
    walkthrough.run(place, quiet)

    def rewrites(place: Place, _: walkthrough.Say) -> bool:
        from eventmint.contracts import contract

        table = place.lake()._catalog.load(contract("gold.user_activity"))
        table.overwrite(table.scan().to_arrow())
        return True

    monkeypatch.setattr(walkthrough, "run", rewrites)
    with pytest.raises(FixData, match=r"A second run changed gold\.user_activity"):
        walkthrough.prove_idle(place, quiet)


def test_without_events_there_is_no_run_and_no_answer(clone: Path) -> None:
    for file in (clone / "sample-data").rglob("*.gz"):
        file.unlink()
    place = prepared()
    with pytest.raises(FixData, match="sample-data: no events to take in"):
        walkthrough.run(place, quiet)
    with pytest.raises(FixData, match="conversion_funnel has no rows"):
        walkthrough.answers(place, quiet)


@pytest.mark.usefixtures("clone")
def test_answers_are_the_five_tables_and_one_without_rows_is_none() -> None:
    place = prepared()
    walkthrough.run(place, quiet)
    found = walkthrough.answers(place, quiet)
    assert {name: rows.num_rows > 0 for name, rows in found.items()} == dict.fromkeys(found, True)
    assert len(found) == 5
    assert found["user_activity"].equals(place.lake().answer("user_activity"))


@pytest.mark.usefixtures("clone")
def test_a_command_that_fails_says_its_own_words() -> None:
    place = prepared()
    with pytest.raises(FixData, match=r"`eventmint cost` failed: .*there is no lake here yet"):
        walkthrough.command(place, "cost", say=quiet)


@pytest.mark.usefixtures("clone")
def test_the_emulator_and_aws_need_the_template_of_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTMINT_AWS__ID", "dev")
    with pytest.raises(FixSettings, match=r"capstone-starter\.cfn\.yaml: not here"):
        prepared("aws")


def test_a_table_shows_its_first_rows_as_text_and_counts_the_rest() -> None:
    rows = pa.table({"name": ["a<b>", None, "c"], "n": [1000, 3000, 2000], "x_rate": [0.0001, None, 1.0]})
    shown = walkthrough.table(rows, by="n")
    assert repr(shown) == "3 rows"
    html = shown._repr_html_()
    assert html.index("3,000") < html.index("2,000") < html.index("1,000")
    assert "<td" in html
    assert "a&lt;b&gt;" in html
    assert "&lt;0.1%" in html
    assert repr(HtmlTable(rows, 2)) == "2 of 3 rows"
