"""What the Glue job is made of: our wheel, the modules it needs, its script; named by their content.

`artifacts/<hash>/` never changes once written: a job that runs keeps its files while a new deployment brings
others beside them. The same sources make the same bytes, so that a second deployment has nothing to do.

How Glue takes them (its guide "Using Python libraries with AWS Glue", from Glue 5.0 on): the wheel by
`--extra-py-files`, requirements.txt by `--additional-python-modules` together with
`--python-modules-installer-option -r`, the script by its location.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from eventmint.errors import FixData, FixSettings
from eventmint.storage.session import error_code, telling

# By name: an import of the package itself would be one of everything in it, for the checker of the layers.
VERSION = str(import_module("eventmint").__version__)
WHEEL = f"eventmint-{VERSION}-py3-none-any.whl"
REQUIREMENTS = "requirements.txt"
SCRIPT = "glue_job.py"
# What the job imports: the dependencies of the project, and boto3 in the version that was tested.
NEEDS = ("boto3", "click", "duckdb", "isal", "pyarrow", "pyiceberg[sql-sqlite]", "rich")
# What it also imports where it publishes the report.
NEEDS_OF_REPORT = ("jinja2", "plotly")

_HASH_CHARACTERS = 16
# A zip archive can't tell an earlier time; a fixed one keeps the bytes the same.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o644 << 16
_NEED = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^]]*)])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclass(frozen=True)
class Artifacts:
    """The files of one build by name."""

    contents: dict[str, bytes]

    @property
    def prefix(self) -> str:
        """The key below which they lie in the analytics bucket, without a slash at the end."""
        digest = hashlib.sha256()
        for name, content in sorted(self.contents.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return f"artifacts/{digest.hexdigest()[:_HASH_CHARACTERS]}"

    @property
    def keys(self) -> dict[str, bytes]:
        return {f"{self.prefix}/{name}": content for name, content in self.contents.items()}


def build(*, with_report: bool = False) -> Artifacts:
    """Return the artifacts of the package that is running.

    Args: with_report: also what the report needs.
    """
    needs = (*NEEDS, *NEEDS_OF_REPORT) if with_report else NEEDS
    return Artifacts({WHEEL: wheel(), REQUIREMENTS: requirements(needs).encode(), SCRIPT: script()})


def script() -> bytes:
    """Return what Glue starts: the entry point of the package, which finds the rest in the wheel."""
    return files("eventmint").joinpath(SCRIPT).read_bytes()


# ---- the wheel ---------------------------------------------------------------------------------------------


def wheel() -> bytes:
    """Return the running package as a wheel: a pure one needs no build backend, it is a zip with a register.

    Stored, not compressed: the bytes must not depend on the compressor of a machine.
    """
    info = f"eventmint-{VERSION}.dist-info"
    contents = dict(_files_below(files("eventmint"), "eventmint"))
    contents[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: eventmint\nVersion: {VERSION}\nRequires-Python: >=3.11\n".encode()
    )
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: eventmint\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    register = [f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*register, f"{info}/RECORD,,\n"]).encode()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.create_system = 3  # Unix, on every machine: else the mode of the files is lost
            entry.external_attr = _FILE_MODE
            archive.writestr(entry, content)
    return sink.getvalue()


def _files_below(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            if item.name != "__pycache__":
                yield from _files_below(item, f"{path}/{item.name}")
        elif not item.name.endswith(".pyc"):
            yield f"{path}/{item.name}", item.read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


# ---- the modules it needs ----------------------------------------------------------------------------------


def requirements(needs: Sequence[str]) -> str:
    """Return every module that is needed, those of the modules included, as installed here.

    Raises: FixSettings: one of them is not installed, so that no version of it was tested.
    """
    pinned: dict[str, str] = {}
    asked = [_parsed(need) for need in needs]
    seen: set[tuple[str, frozenset[str]]] = set()
    while asked:
        name, extras = asked.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            # Its own needs may be for other systems or Pythons: what is not installed here isn't needed here.
            if name in {_parsed(need)[0] for need in needs}:
                raise FixSettings(
                    f"{name} is not installed, and the job needs it.",
                    "Install it with `pip install 'eventmint[aws,pages]'`.",
                ) from None
            continue
        pinned[name] = found.version
        for need in found.requires or ():
            text, _, marker = need.partition(";")
            wanted = _EXTRA.findall(marker)
            if not wanted or extras.intersection(wanted):
                asked.append(_parsed(text))
    return "".join(f"{name}=={version}\n" for name, version in sorted(pinned.items()))


def _parsed(need: str) -> tuple[str, frozenset[str]]:
    """Return the normal name of a requirement and its extras."""
    match = _NEED.match(need)
    name, extras = (match[1], match[2] or "") if match else (need, "")
    return re.sub(r"[-_.]+", "-", name).lower(), frozenset(filter(None, map(str.strip, extras.split(","))))


# ---- in the bucket -----------------------------------------------------------------------------------------


def missing_keys(s3: Any, bucket: str, account: str, artifacts: Artifacts) -> list[str]:
    """Return the keys that are not in the bucket yet."""
    return [key for key in artifacts.keys if not _exists(s3, bucket, account, key)]


def upload(s3: Any, bucket: str, account: str, artifacts: Artifacts) -> list[str]:
    """Put into the bucket what is not there yet; return its keys.

    The bucket must be the account's own: a name is worth nothing, anybody could have taken it.
    """
    keys = missing_keys(s3, bucket, account, artifacts)
    for key in keys:
        content = artifacts.keys[key]
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        with telling():
            s3.put_object(
                Bucket=bucket, Key=key, Body=content, ChecksumSHA256=checksum, ExpectedBucketOwner=account
            )
    return keys


def _exists(s3: Any, bucket: str, account: str, key: str) -> bool:
    try:
        with telling():
            s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account)
    except FixData as err:
        if error_code(err.__cause__) in {"404", "NoSuchKey", "NotFound"}:
            return False
        raise
    return True
