"""Settings: which source of a value wins, and what is said of one that cannot be."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventmint.config import MEANINGS, SECTIONS, Settings, default_toml, known_keys, load_settings
from eventmint.errors import FixSettings
from eventmint.values import EVENT_TYPES

# One key of each type: as written in TOML, in the environment and on the command line, and its Python type.
KINDS: dict[str, tuple[Any, str, Any, Any]] = {
    "source.path": ('"from file"', "from environment", "from flag", str),
    "source.settle_seconds": ("1.5", "2.5", 3.5, float),
    "run.workers": ("3", "4", 5, int),
    "contract.optional": ('["user_id"]', "session_id", ["user_id", "session_id"], tuple),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(home: Path, text: str, name: str = "eventmint.toml") -> Path:
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def entry(dotted: str, text: str) -> str:
    section, _, key = dotted.partition(".")
    return f"[{section}]\n{key} = {text}\n"


def variable(dotted: str) -> str:
    return "EVENTMINT_" + dotted.upper().replace(".", "__")


def value_of(settings: Settings, dotted: str) -> Any:
    section, _, key = dotted.partition(".")
    return getattr(getattr(settings, section), key)


def refused(
    file: str | None, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> FixSettings:
    """Return the error that these settings meet."""
    if file is not None:
        write(Path.cwd(), file)
    with pytest.raises(FixSettings) as error:
        load_settings(flags=flags, environment=environment)
    assert error.value.exit_code == 2
    return error.value


# --- Who wins ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dotted", KINDS)
def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(dotted: str, home: Path) -> None:
    in_file, in_environment, flag, kind = KINDS[dotted]
    assert value_of(load_settings(), dotted) == value_of(Settings(), dotted)
    assert dotted not in load_settings().origins

    file = write(home, entry(dotted, in_file))
    environment = {variable(dotted): in_environment}
    found = [
        load_settings(),
        load_settings(environment=environment),
        load_settings(environment=environment, flags={dotted: flag}),
    ]
    assert [settings.origins for settings in found] == [
        {dotted: str(file)},
        {dotted: variable(dotted)},
        {dotted: "command line"},
    ]
    values = [value_of(settings, dotted) for settings in found]
    assert [type(value) for value in values] == [kind] * 3
    assert len({*values}) == 3
    assert values[2] == (tuple(flag) if kind is tuple else flag)


def test_each_key_has_an_origin_of_its_own(home: Path) -> None:
    file = write(home, '[lake]\nroot = "here"\n[run]\nworkers = 2\nmemory_mb = 100\n')
    settings = load_settings(flags={"run.workers": 1}, environment={"EVENTMINT_RUN__MEMORY_MB": "200"})
    assert settings.origins == {
        "lake.root": str(file),
        "run.memory_mb": "EVENTMINT_RUN__MEMORY_MB",
        "run.workers": "command line",
    }
    assert (settings.lake.root, settings.run.memory_mb, settings.run.workers) == ("here", 200, 1)


def test_a_flag_that_was_not_given_changes_nothing(home: Path) -> None:
    write(home, entry("run.workers", "3"))
    settings = load_settings(flags={"run.workers": None})
    assert settings.run.workers == 3
    assert settings.origins["run.workers"].endswith("eventmint.toml")


def test_the_environment_is_read_only_where_it_is_handed_in(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTMINT_RUN__WORKERS", "7")
    assert load_settings(home=home).run.workers == 0
    assert load_settings(home=home, environment=os.environ).run.workers == 7


def test_other_peoples_variables_are_none_of_our_business(home: Path) -> None:
    others = {"PATH": "/bin", "EVENTMINT_HOME": "x", "EVENTMINT": "x", "MY_EVENTMINT_RUN__WORKERS": "x"}
    assert load_settings(home=home, environment=others).origins == {}


# --- Lists ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("page_view,purchase", ("page_view", "purchase")),
        (" page_view , purchase ,", ("page_view", "purchase")),
        ("page_view", ("page_view",)),
    ],
)
def test_a_list_in_the_environment_is_parted_by_commas(
    text: str, expected: tuple[str, ...], home: Path
) -> None:
    settings = load_settings(home=home, environment={"EVENTMINT_CONTRACT__EVENT_TYPES": text})
    assert settings.contract.event_types == settings.rules.event_types == expected


def test_a_text_stands_for_a_list_of_one(home: Path) -> None:
    write(home, entry("contract.optional", '"user_id"'))
    assert load_settings().contract.optional == ("user_id",)
    assert load_settings().rules.optional == {"user_id"}


def test_an_empty_list_in_the_environment_takes_the_files_list_away(home: Path) -> None:
    write(home, entry("contract.optional", '["user_id"]'))
    assert load_settings(environment={"EVENTMINT_CONTRACT__OPTIONAL": ""}).contract.optional == ()


# --- Dedup ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"content"', None),
        ('["content"]', None),
        ('"user_id"', ("user_id",)),
        ('["user_id", "event_time"]', ("user_id", "event_time")),
    ],
)
def test_dedup_is_content_or_columns(text: str, key: tuple[str, ...] | None, home: Path) -> None:
    write(home, entry("quality.dedup", text))
    assert load_settings().dedup_key == key


def test_dedup_is_content_where_nothing_is_said(home: Path) -> None:
    assert load_settings(home=home).dedup_key is None


def test_dedup_in_the_environment(home: Path) -> None:
    environment = {"EVENTMINT_QUALITY__DEDUP": "user_id, session_id"}
    assert load_settings(home=home, environment=environment).dedup_key == ("user_id", "session_id")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '""',
        '["timestamp"]',
        '["extra"]',
        '["user_id", "user_id"]',
        '["content", "user_id"]',
        '"CONTENT"',
    ],
)
def test_dedup_takes_no_other_column(text: str) -> None:
    error = refused(entry("quality.dedup", text))
    assert "`quality.dedup` must be" in error.message
    assert "event_time" in error.message


# --- What is refused --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("file", "unknown", "hint"),
    [
        ("[lake]\nrot = 1\n", "lake.rot", "Did you mean `lake.root`?"),
        ("[source]\npat = 1\n", "source.pat", "Did you mean `source.path`?"),
        (
            "[quality]\nmax_quarantined = 1\n",
            "quality.max_quarantined",
            "Did you mean `quality.max_quarantine`?",
        ),
        ("[lakes]\nroot = 1\n", "lakes.root", "Did you mean `lake.root`?"),
        ("[zzz]\nqqq = 1\n", "zzz.qqq", "Known keys: source.path, "),
        ("[zzzzzz]\n", "zzzzzz", "Known keys: source.path, "),
        ("[lake.root]\nx = 1\n", "lake.root", ""),
    ],
)
def test_an_unknown_key_of_the_file_is_refused_with_the_nearest(file: str, unknown: str, hint: str) -> None:
    error = refused(file)
    assert "eventmint.toml: " in error.message
    assert f"`{unknown}`" in error.message
    assert error.hint.startswith(hint)


@pytest.mark.usefixtures("home")
def test_an_unknown_variable_is_refused_with_the_nearest() -> None:
    error = refused(None, environment={"EVENTMINT_RUN__WORKER": "1"})
    assert error.message == "environment variable EVENTMINT_RUN__WORKER: unknown key `run.worker`."
    assert error.hint == "Did you mean `run.workers`?"


@pytest.mark.usefixtures("home")
def test_an_unknown_flag_is_refused_with_the_nearest() -> None:
    error = refused(None, flags={"run.worker": 1})
    assert "`run.worker`" in error.message
    assert error.hint == "Did you mean `run.workers`?"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("dotted", "text", "expected"),
    [
        ("run.workers", '"2"', "a whole number"),
        ("run.workers", "2.0", "a whole number"),
        ("run.workers", "true", "a whole number"),
        ("run.workers", "[1]", "a whole number"),
        ("source.settle_seconds", '"1"', "a number"),
        ("source.settle_seconds", "false", "a number"),
        ("source.path", "1", "a text"),
        ("source.path", '["a"]', "a text"),
        ("lake.database", "1970-01-01", "a text"),
        ("contract.optional", "1", "a list of texts"),
        ("contract.optional", "[1]", "a list of texts"),
        ("contract.event_types", "true", "a list of texts"),
        ("quality.dedup", "false", "a list of texts"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(dotted: str, text: str, expected: str) -> None:
    error = refused(entry(dotted, text))
    assert "eventmint.toml" in error.message
    assert f"`{dotted}`" in error.message
    assert error.message.endswith(f"expected {expected}.")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("text", ["two", "2.5", "", "0x2"])
def test_a_number_in_the_environment_must_be_one(text: str) -> None:
    error = refused(None, environment={"EVENTMINT_RUN__WORKERS": text})
    assert error.message == f"EVENTMINT_RUN__WORKERS: `{text}` is not a whole number."


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("dotted", "text"),
    [
        ("run.workers", "-1"),
        ("run.memory_mb", "63"),
        ("run.batch_mb", "0"),
        ("query.max_seconds", "-1"),
        ("query.max_seconds", "86401"),
        ("query.max_seconds", "nan"),
        ("query.memory_mb", "63"),
        *(("lake.root", f'"a{char}b"') for char in ("?", "#", "%", "\\n", "\\r", "\\t", "\\u001f")),
        ("source.settle_seconds", "-0.1"),
        ("source.settle_seconds", "nan"),
        ("source.settle_seconds", "inf"),
        ("contract.max_line_bytes", "0"),
        ("contract.max_line_bytes", "16777217"),
        ("contract.optional", '["event_type"]'),
        ("contract.optional", '["user_id", "price"]'),
        ("contract.event_types", "[]"),
        ("contract.event_types", '["page_view", ""]'),
        ("quality.max_quarantine", "-0.01"),
        ("quality.max_quarantine", "1.01"),
        ("quality.max_quarantine", "nan"),
    ],
)
def test_a_value_outside_its_limits_is_refused_with_its_origin(dotted: str, text: str) -> None:
    error = refused(entry(dotted, text))
    assert "eventmint.toml: " in error.message
    assert f"`{dotted}` must " in error.message or f"`{dotted}` may " in error.message


@pytest.mark.parametrize(
    ("dotted", "text"),
    [
        ("run.workers", "0"),
        ("run.memory_mb", "64"),
        ("run.batch_mb", "1"),
        ("query.max_seconds", "0"),
        ("query.max_seconds", "86400"),
        ("query.memory_mb", "64"),
        ("source.settle_seconds", "0"),
        ("contract.max_line_bytes", "1"),
        ("contract.max_line_bytes", "16777216"),
        ("quality.max_quarantine", "0"),
        ("quality.max_quarantine", "1.0"),
    ],
)
def test_a_limit_itself_is_allowed(dotted: str, text: str, home: Path) -> None:
    write(home, entry(dotted, text))
    assert value_of(load_settings(), dotted) == float(text)


@pytest.mark.usefixtures("home")
def test_the_origin_of_a_refused_value_is_named() -> None:
    assert refused(None, flags={"run.batch_mb": 0}).message.startswith("command line: ")
    error = refused(None, environment={"EVENTMINT_RUN__BATCH_MB": "0"})
    assert error.message.startswith("EVENTMINT_RUN__BATCH_MB: ")


# --- The file ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "text", ["[run\n", "workers 2\n", "[run]\nworkers = 1\nworkers = 2\n", "{}\n", "\ufeff["]
)
def test_a_file_that_is_not_toml_is_refused(text: str) -> None:
    error = refused(text)
    assert "eventmint.toml: cannot be read: " in error.message
    assert error.hint == "Mend the file or remove it."


def test_a_file_that_is_not_utf8_is_refused(home: Path) -> None:
    (home / "eventmint.toml").write_bytes(b'[lake]\nroot = "\xff"\n')
    assert "cannot be read" in refused(None).message


def test_a_folder_in_the_place_of_the_file_is_refused(home: Path) -> None:
    (home / "eventmint.toml").mkdir()
    assert "cannot be read" in refused(None).message


def test_a_file_that_was_named_must_be_there(home: Path) -> None:
    with pytest.raises(FixSettings) as error:
        load_settings(home / "other.toml")
    assert error.value.message == f"{home / 'other.toml'}: no such configuration file."
    assert error.value.hint == "Run `eventmint init` to write one."


def test_no_file_at_all_means_the_defaults(home: Path) -> None:
    settings = load_settings()
    assert {name: getattr(settings, name) for name in SECTIONS} == {
        name: getattr(Settings(), name) for name in SECTIONS
    }
    assert settings.home == home


@pytest.mark.parametrize("text", ["", "# nothing\n", "[run]\n", "[source]\n[lake]\n"])
def test_an_empty_file_or_section_means_the_defaults(text: str, home: Path) -> None:
    write(home, text)
    settings = load_settings()
    assert settings.origins == {}
    assert settings.run == Settings().run


@pytest.mark.usefixtures("home")
def test_a_key_outside_a_section_is_refused() -> None:
    error = refused('path = "x"\n')
    assert "`path` stands outside a section." in error.message
    assert "[source]" in error.hint


# --- Paths ------------------------------------------------------------------------------------------------


def test_relative_paths_start_at_the_files_folder(home: Path) -> None:
    file = write(home, '[source]\npath = "in"\n[lake]\nroot = "../out"\n', "shop/eventmint.toml")
    settings = load_settings(file)
    assert settings.home == home / "shop"
    assert settings.source_path == home / "shop" / "in"
    assert settings.lake_root.resolve() == home / "out"
    assert settings.database_path == home / "shop" / "analytics.duckdb"


def test_a_file_named_relatively_counts_from_the_current_folder(home: Path) -> None:
    write(home, "", "shop/eventmint.toml")
    assert load_settings(Path("shop/eventmint.toml")).source_path == home / "shop" / "data"


def test_absolute_paths_stay_as_they_are(home: Path) -> None:
    root = home / "elsewhere"
    settings = load_settings(home=home / "shop", flags={"lake.root": str(root)})
    assert settings.lake_root == root


def test_another_home_moves_the_paths_and_is_where_the_file_is_looked_for(home: Path) -> None:
    write(home, entry("run.workers", "2"))
    write(home, entry("run.workers", "3"), "shop/eventmint.toml")
    settings = load_settings(home=home / "shop")
    assert (settings.run.workers, settings.source_path) == (3, home / "shop" / "data")
    named = load_settings(home / "eventmint.toml", home=home / "shop")
    assert (named.run.workers, named.source_path) == (2, home / "shop" / "data")


# --- What is written down ---------------------------------------------------------------------------------


def test_the_default_file_says_every_key_and_changes_nothing(home: Path) -> None:
    write(home, default_toml())
    settings = load_settings()
    assert {name: getattr(settings, name) for name in SECTIONS} == {
        name: getattr(Settings(), name) for name in SECTIONS
    }
    assert {*settings.origins} == {*known_keys()}
    tree = tomllib.loads(default_toml())
    assert {f"{section}.{key}" for section, body in tree.items() for key in body} == {*known_keys()}


def test_every_key_has_a_meaning(home: Path) -> None:
    assert MEANINGS.keys() == known_keys().keys()
    for meaning in MEANINGS.values():
        assert meaning in default_toml()
    assert load_settings(home=home).rules.event_types == EVENT_TYPES


def test_workers_zero_is_one_per_core(home: Path) -> None:
    assert load_settings(home=home).workers == len(os.sched_getaffinity(0))
    assert load_settings(home=home, flags={"run.workers": 3}).workers == 3
