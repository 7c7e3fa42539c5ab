"""A shadow of a lake: its tables as they are now, in another folder, where commits leave no trace in it.

Only metadata is copied, one file per table. The data files and manifests of the lake are read where they lie;
whatever is committed goes into the folder, and no file of the lake is ever removed from here.
"""

from __future__ import annotations

from pathlib import Path

from pyiceberg.serializers import ToOutputFile

from eventmint.contracts import Contract
from eventmint.storage import is_s3
from eventmint.tables.catalog import LakeCatalog, s3_properties
from eventmint.tables.plan import TableHandle, uri_of


class _Shadow(LakeCatalog):
    """A lake in a folder whose files may lie in S3."""

    def __init__(self, folder: Path, *, reads_s3: bool) -> None:
        super().__init__(folder)
        self._reads_s3 = reads_s3

    def _io_properties(self) -> dict[str, str]:
        return {**super()._io_properties(), **(s3_properties() if self._reads_s3 else {})}

    def copy(self, contract: Contract, table: TableHandle) -> None:
        catalog, identifier = self._open(), self._identifier(contract)
        if not catalog.namespace_exists(identifier[0]):
            catalog.create_namespace(identifier[0])
        place = self._place(contract)
        # Without the log of former metadata files, which a commit would remove where they lie.
        metadata = table.metadata.model_copy(update={"location": uri_of(place), "metadata_log": []})
        file = f"{uri_of(place)}/metadata/00000-{metadata.table_uuid}.metadata.json"
        io = catalog._load_file_io(location=file)  # noqa: SLF001 - it has no other door
        ToOutputFile.table_metadata(metadata, io.new_output(file))
        catalog.register_table(identifier, file)


def shadow_of(catalog: LakeCatalog, folder: Path) -> LakeCatalog:
    """Return a lake in `folder` that has the tables of another; none where that does not exist yet."""
    shadow = _Shadow(folder, reads_s3=is_s3(catalog.location))
    for contract, table in catalog.tables().items():
        shadow.copy(contract, table)
    return shadow
