"""Fetch: source files come to where they are read. Files of this machine stay where they are.

An object of S3 is taken only if it still is the one that was listed: its ETag is a condition of the download.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from eventmint.sources.gunzip import UnreadableFile
from eventmint.storage import is_s3
from eventmint.values import SourceFile


def fetch(files: Sequence[SourceFile], folder: Path) -> list[SourceFile | UnreadableFile]:
    """Return each file with a location on this machine, or why it can't be had: `vanished`,
    `changed_while_reading`. Downloads run side by side into the folder.

    Raises: TryAgain, FixSettings, FixData: S3 does not answer or refuses.
    """
    near: list[SourceFile | UnreadableFile] = list(files)
    far = [number for number, file in enumerate(files) if is_s3(file.location)]
    if not far:
        return near
    from eventmint.storage import s3

    wanted = [
        (files[number].location, _etag(files[number]), folder / f"{number:06d}.jsonl.gz") for number in far
    ]
    for number, (_, _, target), failed in zip(far, wanted, s3.download_all(wanted), strict=True):
        if failed is None:
            near[number] = dataclasses.replace(files[number], location=str(target))
        else:
            near[number] = UnreadableFile("vanished" if failed.gone else "changed_while_reading")
    return near


def _etag(file: SourceFile) -> str:
    return f'"{file.version.rpartition("-")[0]}"'
