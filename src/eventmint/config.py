"""Settings: read once at the edge, typed, with the origin of every value.

A flag beats an environment variable (`EVENTMINT_LAKE__ROOT`), which beats `eventmint.toml`, which beats the
default. An unknown key is refused with the nearest known one. Below this module nothing looks at the
environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from eventmint.errors import FixSettings
from eventmint.mappings import EVENTS, read_mapping
from eventmint.values import EVENT_COLUMNS, EVENT_TYPES, LAYERS, EventMapping, EventRules

CONFIG_FILE = "eventmint.toml"
ENV_PREFIX = "EVENTMINT_"
MIN_MEMORY_MB = 64
MAX_SETTLE_SECONDS = 3600
MAX_QUERY_SECONDS = 86_400
MAX_MAINTAIN_SECONDS = 86_400
MAX_REPORT_PRODUCTS = 10_000
MAX_LATE_MINUTES = 5_256_000  # ten years
MAX_RETENTION_DAYS = 36_500


@dataclass(frozen=True)
class SourceSettings:
    path: str = "data"
    pattern: str = "**/*.jsonl.gz"
    format: str = EVENTS
    settle_seconds: float = 1.0


@dataclass(frozen=True)
class ContractSettings:
    event_types: tuple[str, ...] = EVENT_TYPES
    optional: tuple[str, ...] = ()
    max_line_bytes: int = 1 << 20


@dataclass(frozen=True)
class LakeSettings:
    root: str = "lake"
    database: str = "analytics.duckdb"


@dataclass(frozen=True)
class RunSettings:
    engine: str = "duckdb"
    target: str = "local"
    workers: int = 0
    memory_mb: int = 500
    batch_mb: int = 100
    maintain_seconds: float = 60.0


@dataclass(frozen=True)
class QualitySettings:
    max_quarantine: float = 0.01
    dedup: tuple[str, ...] = ("content",)


@dataclass(frozen=True)
class QuerySettings:
    max_seconds: float = 60.0
    memory_mb: int = 1000


@dataclass(frozen=True)
class ReportSettings:
    title: str = "Shop analytics"
    products: int = 1000
    late_minutes: float = 60.0

    @property
    def late_after(self) -> timedelta | None:
        return timedelta(minutes=self.late_minutes) if self.late_minutes else None


HAPPENINGS = ("run_failed", "law_broken", "quarantine", "set_aside", "anomaly", "stale")


@dataclass(frozen=True)
class NotifySettings:
    webhooks: tuple[str, ...] = ()
    sns_topic: str = ""
    on: tuple[str, ...] = HAPPENINGS

    @property
    def has_anybody(self) -> bool:
        """Whether there is anybody to tell anything."""
        return bool(self.on and (self.webhooks or self.sns_topic))


@dataclass(frozen=True)
class LineageSettings:
    file: str = ""
    url: str = ""
    api_key: str = ""
    namespace: str = "eventmint"

    @property
    def has_anybody(self) -> bool:
        """Whether lineage goes anywhere."""
        return bool(self.file or self.url)


@dataclass(frozen=True)
class RetentionSettings:
    bronze_days: int = 0
    quarantine_days: int = 0
    silver_days: int = 0
    gold_days: int = 0

    @property
    def days(self) -> dict[str, int]:
        """For how many days each layer is kept that is not kept for ever."""
        found = {layer: getattr(self, f"{layer}_days") for layer in LAYERS}
        return {layer: days for layer, days in found.items() if days}


@dataclass(frozen=True)
class PrivacySettings:
    key_file: str = "eventmint.key"
    key: str = ""


@dataclass(frozen=True)
class AwsSettings:
    region: str = "us-west-2"
    id: str = ""
    account: str = ""


@dataclass(frozen=True)
class Settings:
    """Every setting with its value; `origins` tells for each where the value came from."""

    source: SourceSettings = field(default_factory=SourceSettings)
    contract: ContractSettings = field(default_factory=ContractSettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    run: RunSettings = field(default_factory=RunSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    query: QuerySettings = field(default_factory=QuerySettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    lineage: LineageSettings = field(default_factory=LineageSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    aws: AwsSettings = field(default_factory=AwsSettings)
    home: Path = field(default_factory=Path.cwd)
    origins: Mapping[str, str] = field(default_factory=dict)
    mapping: EventMapping | None = None

    @property
    def rules(self) -> EventRules:
        return EventRules(
            self.contract.event_types,
            frozenset(self.contract.optional),
            self.contract.max_line_bytes,
            self.mapping,
        )

    @property
    def dedup_key(self) -> tuple[str, ...] | None:
        """The columns that make two lines one event; None when all of them do (`content`)."""
        return None if self.quality.dedup == ("content",) else self.quality.dedup

    @property
    def workers(self) -> int:
        return self.run.workers or len(os.sched_getaffinity(0))

    @property
    def source_location(self) -> str:
        """A folder or file of this machine, absolute, or an `s3://` address."""
        return _location(self.home, self.source.path)

    @property
    def lake_location(self) -> str:
        """A folder of this machine, absolute, or an `s3://` address."""
        return _location(self.home, self.lake.root)

    @property
    def source_path(self) -> Path:
        return self.home / self.source.path

    @property
    def lake_root(self) -> Path:
        return self.home / self.lake.root

    @property
    def key_location(self) -> str:
        """A file of this machine, absolute, or an `s3://` address."""
        return _location(self.home, self.privacy.key_file)

    @property
    def database_path(self) -> Path:
        return self.home / self.lake.database


def _location(home: Path, place: str) -> str:
    return place.rstrip("/") if place.startswith("s3://") else str(home / place)


SECTIONS = (
    "source",
    "contract",
    "lake",
    "run",
    "quality",
    "query",
    "report",
    "notify",
    "lineage",
    "retention",
    "privacy",
    "aws",
)
# Whoever knows such a value may do something with it: it is never shown.
SECRETS = frozenset({"notify.webhooks", "lineage.url", "lineage.api_key", "privacy.key"})
ENGINES = ("duckdb", "spark")
TARGETS = ("local", "aws")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
_KEY = re.compile(r"[0-9a-fA-F]{64}")
MEANINGS = {
    "source.path": "folder with the events, one file, or s3://bucket/prefix; relative to this file",
    "source.pattern": "which files below it; ** spans folders",
    "source.format": "events, segment, ga4, snowplow, rees46-csv, or a mapping of your own, *.toml",
    "source.settle_seconds": "a file is finished when it has not changed for so long",
    "contract.event_types": "names an event may have",
    "contract.optional": "fields that may be missing; of user_id and session_id",
    "contract.max_line_bytes": "a longer line is quarantined unread",
    "lake.root": "folder of the tables bronze, silver, gold, or s3://bucket/prefix",
    "lake.database": "what analysts open; brought up to date after each run; empty for none",
    "run.engine": "who computes: duckdb, or spark (Java 17 and the extra `spark`)",
    "run.target": "local, or aws: the stack of aws.id instead of source.path and lake.root",
    "run.workers": "processes; 0 is one per core",
    "run.memory_mb": "what a statement may hold in memory before it spills to disk",
    "run.batch_mb": "compressed size of the files that are taken in together",
    "run.maintain_seconds": "the first run of a day may spend so long on what `maintain` does; 0 for never",
    "quality.max_quarantine": "share of lines; a run that sets more aside ends with exit code 3",
    "quality.dedup": 'which columns make two lines one event: "content" for all, or a list',
    "query.max_seconds": "a longer query is stopped; 0 for no limit",
    "query.memory_mb": "what a query may hold in memory; more is refused",
    "report.title": "heading of report and dashboard",
    "report.products": "how many products its table lists",
    "report.late_minutes": "pages call data late when the newest event is older; 0 for never",
    "notify.webhooks": "URLs that get a JSON document when something happens",
    "notify.sns_topic": "ARN of a topic that gets the same",
    "notify.on": "what happens that is told: docs/watching.md",
    "lineage.file": "each run is appended as OpenLineage events, one JSON object a line",
    "lineage.url": "the same is posted there, such as http://host:5000/api/v1/lineage",
    "lineage.api_key": "sent as a bearer token; better in EVENTMINT_LINEAGE__API_KEY than in a file",
    "lineage.namespace": "of the job `run`",
    "retention.bronze_days": "valid lines of so many days before the newest event are kept; 0 for all",
    "retention.quarantine_days": "the same for quarantined lines, by when they were received",
    "retention.silver_days": "the same for events, and for gold's sets of users and sessions",
    "retention.gold_days": "the same for the five answers",
    "privacy.key_file": "what forgotten people are known by; a file beside the lake, or s3://bucket/key",
    "privacy.key": "the key itself, 64 hexadecimal digits, in EVENTMINT_PRIVACY__KEY instead of a file",
    "aws.region": "where the stack is",
    "aws.id": "names the stack capstone-<id> and its databases bronze_<id>, silver_<id>, gold_<id>",
    "aws.account": "twelve digits; empty: that of the credentials in use",
}


def load_settings(
    config: Path | None = None,
    *,
    home: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force.

    Args:
        config: the file; None takes `eventmint.toml` in `home` where there is one.
        home: the folder that relative paths start from; default: the file's folder, else the current one.
        flags: values from the command line by dotted key (`source.path`); None values are ignored.
        environment: variables to read; default: none (the caller at the edge passes os.environ).
    Raises:
        FixSettings: a file that cannot be read, an unknown key, a value of the wrong type.
    """
    base = (home or (config.parent if config else Path.cwd())).resolve()
    file = config or (base / CONFIG_FILE if (base / CONFIG_FILE).exists() else None)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for dotted, value in _from_file(file).items():
        values[dotted], origins[dotted] = value, str(file)
    for name, text in (environment or {}).items():
        if name.startswith(ENV_PREFIX) and "__" in name:
            dotted = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
            _require_known(dotted, f"environment variable {name}")
            values[dotted], origins[dotted] = _parse_text(dotted, text, name), name
    for dotted, value in (flags or {}).items():
        if value is not None:
            _require_known(dotted, "command line")
            values[dotted], origins[dotted] = value, "command line"
    sections = {name: _build(name, values, origins) for name in SECTIONS}
    settings = Settings(**sections, home=base, origins=origins)
    _check(settings)
    return replace(settings, mapping=_mapping_of(settings))


def _mapping_of(settings: Settings) -> EventMapping | None:
    try:
        return read_mapping(settings.source.format, settings.home, settings.contract.event_types)
    except FixSettings as err:
        where = settings.origins.get("source.format", "default")
        raise FixSettings(f"{where}: `source.format`: {err.message}", err.hint) from err


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FixSettings(
            f"{file}: no such configuration file.", "Run `eventmint init` to write one."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise FixSettings(f"{file}: cannot be read: {err}.", "Mend the file or remove it.") from err
    flat = {}
    for section, body in tree.items():
        if not isinstance(body, dict):
            raise FixSettings(
                f"{file}: `{section}` stands outside a section.", "Keys live in [source], [lake], ..."
            )
        for key, value in body.items() or [("", None)]:
            if key:
                _require_known(f"{section}.{key}", str(file))
                flat[f"{section}.{key}"] = value
            elif section not in SECTIONS:
                _require_known(section, str(file))
    return flat


@cache
def known_keys() -> Mapping[str, type]:
    """Every dotted key with its type."""
    sections = _section_types()
    return MappingProxyType({f"{s}.{k}": t for s in SECTIONS for k, t in get_type_hints(sections[s]).items()})


@cache
def _section_types() -> Mapping[str, Any]:
    return MappingProxyType(get_type_hints(Settings))


def default_toml() -> str:
    """Return a configuration file that says every key, what it means and its default."""
    lines = ["# eventmint.toml: every key may be left out; these are the defaults."]
    defaults = Settings()
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for item in dataclasses.fields(getattr(defaults, section)):
            value = getattr(getattr(defaults, section), item.name)
            entry = f"{item.name} = {json.dumps('content' if value == ('content',) else value)}"
            lines.append(f"{entry:<33} # {MEANINGS[f'{section}.{item.name}']}")
    return "\n".join(lines) + "\n"


def _require_known(dotted: str, where: str) -> None:
    keys = known_keys()
    if dotted in keys:
        return
    near = difflib.get_close_matches(dotted, keys, n=1, cutoff=0.5)
    hint = f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(keys)}."
    raise FixSettings(f"{where}: unknown key `{dotted}`.", hint)


def _parse_text(dotted: str, text: str, where: str) -> Any:
    kind = known_keys()[dotted]
    try:
        if kind in (int, float):
            return kind(text)
    except ValueError:
        raise FixSettings(f"{where}: `{text}` is not {describe(kind)}.") from None
    return text if kind is str else [part.strip() for part in text.split(",") if part.strip()]


def _build(section: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> Any:
    cls = _section_types()[section]
    given = {}
    for item in dataclasses.fields(cls):
        dotted = f"{section}.{item.name}"
        if dotted in values:
            given[item.name] = _coerce(dotted, values[dotted], known_keys()[dotted], origins[dotted])
    return cls(**given)


def _coerce(dotted: str, value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str):
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
    elif isinstance(value, str):
        return (value,)
    elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    shown = "wrong" if dotted in SECRETS else repr(value)
    raise FixSettings(f"{where}: `{dotted}` is {shown}, expected {describe(kind)}.")


def shown_value(settings: Settings, dotted: str) -> Any:
    """Return a value in force as it may be shown: of an address that is a secret only the host."""
    section, _, key = dotted.partition(".")
    value = getattr(getattr(settings, section), key)
    if dotted in SECRETS:
        return _host_alone(value) if isinstance(value, str) else [*map(_host_alone, value)]
    return list(value) if isinstance(value, tuple) else value


def _host_alone(secret: str) -> str:
    if not _is_web_address(secret):
        return secret and "(set)"
    address = urlsplit(secret)
    return f"{address.scheme}://{address.netloc}/..."


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        address.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return False
    is_plain = text.isascii() and text.isprintable() and " " not in text
    is_open = address.scheme in ("http", "https") and "@" not in address.netloc
    return is_plain and is_open and bool(address.hostname)


def describe(kind: type) -> str:
    """Return a type of `known_keys` in words."""
    return {int: "a whole number", float: "a number", str: "a text"}.get(kind, "a list of texts")


def _check(settings: Settings) -> None:
    def need(claim: bool, dotted: str, message: str) -> None:
        if not claim:
            raise FixSettings(f"{settings.origins.get(dotted, 'default')}: `{dotted}` {message}.")

    quality, run, contract = settings.quality, settings.run, settings.contract
    need(0 <= quality.max_quarantine <= 1, "quality.max_quarantine", "must lie between 0 and 1")
    need(run.workers >= 0, "run.workers", "must be 0 (all cores) or more")
    need(run.memory_mb >= MIN_MEMORY_MB, "run.memory_mb", f"must be {MIN_MEMORY_MB} or more")
    need(
        0 <= settings.query.max_seconds <= MAX_QUERY_SECONDS,
        "query.max_seconds",
        f"must lie between 0 and {MAX_QUERY_SECONDS}",
    )
    need(settings.query.memory_mb >= MIN_MEMORY_MB, "query.memory_mb", f"must be {MIN_MEMORY_MB} or more")
    need(run.batch_mb >= 1, "run.batch_mb", "must be 1 or more")
    need(
        0 <= run.maintain_seconds <= MAX_MAINTAIN_SECONDS,
        "run.maintain_seconds",
        f"must lie between 0 and {MAX_MAINTAIN_SECONDS}",
    )
    need(
        0 <= settings.source.settle_seconds <= MAX_SETTLE_SECONDS,
        "source.settle_seconds",
        f"must lie between 0 and {MAX_SETTLE_SECONDS}",
    )
    need(
        1 <= settings.report.products <= MAX_REPORT_PRODUCTS,
        "report.products",
        f"must lie between 1 and {MAX_REPORT_PRODUCTS}",
    )
    need(
        0 <= settings.report.late_minutes <= MAX_LATE_MINUTES,
        "report.late_minutes",
        f"must lie between 0 and {MAX_LATE_MINUTES}",
    )
    # The catalog and Iceberg hold the folder as a URL, where these mean something else or fall out.
    need(
        not any(char in "?#%" or ord(char) < ord(" ") for char in str(settings.lake_root)),
        "lake.root",
        "must name a folder without ?, #, % and control characters in its path",
    )
    need(
        1 <= contract.max_line_bytes <= 1 << 24, "contract.max_line_bytes", "must lie between 1 and 16777216"
    )
    need(
        set(contract.optional) <= {"user_id", "session_id"},
        "contract.optional",
        "may name user_id and session_id only",
    )
    need(
        bool(contract.event_types) and all(contract.event_types),
        "contract.event_types",
        "must name at least one event type",
    )
    notify = settings.notify
    need(
        all(map(_is_web_address, notify.webhooks)),
        "notify.webhooks",
        "must be addresses such as https://host/path",
    )
    need(
        not notify.sns_topic or bool(_TOPIC.fullmatch(notify.sns_topic)),
        "notify.sns_topic",
        "must be the ARN of a standard topic, such as arn:aws:sns:us-west-2:123456789012:shop",
    )
    lineage = settings.lineage
    need(
        not lineage.url or _is_web_address(lineage.url),
        "lineage.url",
        "must be an address such as http://host/",
    )
    need(
        lineage.api_key.isascii() and lineage.api_key.isprintable(),
        "lineage.api_key",
        "must be of printable ASCII characters",
    )
    need(
        not settings.privacy.key or bool(_KEY.fullmatch(settings.privacy.key)),
        "privacy.key",
        "must be 64 hexadecimal digits",
    )
    need(bool(settings.privacy.key_file), "privacy.key_file", "must name a file")
    need(bool(lineage.namespace), "lineage.namespace", "must not be empty")
    need(set(notify.on) <= set(HAPPENINGS), "notify.on", f"may name {', '.join(HAPPENINGS)}")
    _check_retention(settings, need)
    need(run.engine in ENGINES, "run.engine", f"must be one of {', '.join(ENGINES)}")
    need(run.target in TARGETS, "run.target", f"must be one of {', '.join(TARGETS)}")
    key = settings.dedup_key
    need(
        not settings.retention.bronze_days or key is None or "event_time" in key,
        "retention.bronze_days",
        "must be 0 while quality.dedup lacks event_time: what is one event is decided over all days",
    )
    need(
        key is None or (bool(key) and set(key) <= set(EVENT_COLUMNS) and len(set(key)) == len(key)),
        "quality.dedup",
        f'must be "content" or a list of columns out of {", ".join(EVENT_COLUMNS)}',
    )


def _check_retention(settings: Settings, need: Callable[[bool, str, str], None]) -> None:
    retention = settings.retention
    for layer in LAYERS:
        days = getattr(retention, f"{layer}_days")
        message = f"must lie between 0 and {MAX_RETENTION_DAYS}"
        need(0 <= days <= MAX_RETENTION_DAYS, f"retention.{layer}_days", message)
    for before, after in (("bronze", "silver"), ("silver", "gold")):
        source, made = (getattr(retention, f"{layer}_days") for layer in (before, after))
        message = f"must be as many as retention.{before}_days or more, and 0 where that is 0"
        need(not made or 0 < source <= made, f"retention.{after}_days", message)
