"""Objects of a versioned bucket: counted, and deleted for good with every version they have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eventmint.errors import FixData
from eventmint.storage.session import telling

# As many as one call deletes.
_AT_ONCE = 1000


@dataclass(frozen=True)
class Bucket:
    """A bucket of an account; every call fails where it is somebody else's."""

    s3: Any
    name: str
    account: str

    def size(self, prefix: str = "") -> tuple[int, int]:
        """Return the number of current objects below a prefix, and their bytes."""
        objects = size_bytes = 0
        with telling():
            for page in self._pages("list_objects_v2", prefix):
                for entry in page.get("Contents", ()):
                    objects += 1
                    size_bytes += entry["Size"]
        return objects, size_bytes

    def holds_more_than(self, prefixes: tuple[str, ...]) -> bool:
        """Whether anything lies elsewhere than below these prefixes, be it an old version."""
        batches = self._versions("")
        return any(not entry["Key"].startswith(prefixes) for batch in batches for entry in batch)

    def clear(self, prefix: str = "") -> int:
        """Delete every version of every object below a prefix, and the markers of deleted ones.

        Returns: how many were deleted.
        Raises: FixData: some were not; the first is named.
        """
        count = 0
        # Always the first ones: no place in a list has to be kept while the list shrinks.
        while batch := next(self._versions(prefix), None):
            with telling():
                answer = self.s3.delete_objects(
                    Bucket=self.name,
                    Delete={"Objects": batch, "Quiet": True},
                    ExpectedBucketOwner=self.account,
                )
            for error in answer.get("Errors", ()):
                reason = error.get("Message") or error["Code"]
                raise FixData(
                    f"s3://{self.name}/{error['Key']}: is not deleted: {reason}.",
                    "Mend the cause, then run `eventmint destroy` again.",
                )
            count += len(batch)
        return count

    def delete(self) -> None:
        with telling():
            self.s3.delete_bucket(Bucket=self.name, ExpectedBucketOwner=self.account)

    def _versions(self, prefix: str) -> Iterator[list[dict[str, str]]]:
        with telling():
            for page in self._pages("list_object_versions", prefix):
                found = [
                    {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                    for kind in ("Versions", "DeleteMarkers")
                    for entry in page.get(kind, ())
                ]
                for start in range(0, len(found), _AT_ONCE):
                    yield found[start : start + _AT_ONCE]

    def _pages(self, call: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages: Iterator[dict[str, Any]] = iter(
            self.s3.get_paginator(call).paginate(
                Bucket=self.name, Prefix=prefix, ExpectedBucketOwner=self.account
            )
        )
        return pages
