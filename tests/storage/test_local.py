"""Files of this machine: what is moved is durable, what is fresh is empty."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eventmint.storage.local import fresh_folder, put


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What was synced, as it is called and with what lay in it then; the syncing itself goes on."""
    noted = []
    sync = os.fsync

    def note(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        inside = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
        noted.append((path.name, inside))
        sync(handle)

    monkeypatch.setattr(os, "fsync", note)
    return noted


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc, to know a file by its handle")
def test_the_folders_of_moved_files_are_synced_after_the_moves(
    synced: list[tuple[str, list[str]]], tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    moves = [("a", "one/a"), ("b", "one/b"), ("c", "two/c")]
    put([(str(tmp_path / source), str(tmp_path / target)) for source, target in moves])
    # New folders are made durable before anything lies in them.
    assert synced[:2] == [(tmp_path.name, ["a", "b", "c", "one"]), (tmp_path.name, ["c", "one", "two"])]
    assert sorted(synced[2:]) == [("one", ["a", "b"]), ("two", ["c"])]
    assert [path.read_text() for path in sorted(tmp_path.rglob("?"))] == ["a", "b", "c"]


def test_a_fresh_folder_has_nothing_of_the_one_before(tmp_path: Path) -> None:
    left = tmp_path / "scratch" / "deep" / "left by a killed run"
    left.parent.mkdir(parents=True)
    left.write_text("x")
    with fresh_folder(tmp_path / "scratch") as folder:
        assert [*folder.iterdir()] == []
        (folder / "mine").write_text("y")
    assert [*tmp_path.iterdir()] == []
