"""File access for PyIceberg on this machine: what it writes is on disk before the catalog names it.

PyIceberg's own access closes a file and leaves the rest to the system. After a power cut the catalog, which
is SQLite and durable, would then name metadata that is empty or not there, and the table could not be opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from eventmint.storage import is_s3
from eventmint.storage.local import create_synced, make_folder


class DurableFileIO(PyArrowFileIO):
    """PyIceberg's own, but for the writing of local files."""

    def new_output(self, location: str) -> PyArrowFile:
        file = super().new_output(location)
        if is_s3(location):
            return file
        return _DurableFile(file.location, file._path, file._filesystem)  # noqa: SLF001 - a copy of it


class _DurableFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> Any:
        path = Path(self._path)
        make_folder(path.parent)
        # The table's metadata is the last file of a commit and lies beside the others: one sync for all.
        return create_synced(path, overwrite=overwrite, and_folder=path.name.endswith(".metadata.json"))
