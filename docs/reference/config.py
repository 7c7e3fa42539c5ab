"""The page of the settings, from the settings themselves."""

from __future__ import annotations

import json

from texts import code, plain, table

from eventmint.config import (
    ENV_PREFIX,
    MEANINGS,
    SECRETS,
    SECTIONS,
    Settings,
    default_toml,
    describe,
    known_keys,
)

INTRODUCTION = f"""\
# Configuration

Settings stand in `eventmint.toml`, in the folder where a command is started or that `-C` names; `--config`
names another file. Every key may be left out. An option of the command line beats an environment variable,
which beats the file, which beats the default; `eventmint doctor` shows each value in force with where it
came from. An unknown key, or a value that cannot be, ends a command with exit code 2.

A variable is `{ENV_PREFIX}`, the section, two underscores and the key; a list is written with commas. From
Python the same keys are arguments: `open_lake(run__workers=1)`. Relative paths start at the file's folder.
"""
ABOUT = {
    "source": "Where events come from, and in which form.",
    "contract": "What an event must be: [semantics](../semantics.md).",
    "lake": "Where the tables are.",
    "run": "How a run computes.",
    "quality": "What is one event twice, and how many bad lines are too many.",
    "retention": "For how many days each layer is kept: [retention](../retention.md).",
    "privacy": "The key by which [forgotten people](../forgetting.md) are known.",
    "query": "What a query of an analyst may take.",
    "report": "What [report and dashboard](../dashboard.md) show.",
    "notify": "Who is told when something happens: [watching](../watching.md).",
    "lineage": "Who is told of each run, as OpenLineage events: [watching](../watching.md).",
    "aws": "Which stack is meant: [on AWS](../aws.md).",
}


def page() -> str:
    parts = [INTRODUCTION]
    for section in SECTIONS:
        keys = [key for key in known_keys() if key.startswith(f"{section}.")]
        head = ["key", "type", "default", "environment variable", "means"]
        parts += [f"## {section}\n", f"{ABOUT[section]}\n", table(head, map(row, keys))]
    parts += ["## The whole file\n", "`eventmint init` writes it so.\n", f"```toml\n{default_toml()}```\n"]
    return "\n".join(parts)


def row(dotted: str) -> tuple[str, ...]:
    section, _, key = dotted.partition(".")
    variable = ENV_PREFIX + dotted.replace(".", "__").upper()
    kind = describe(known_keys()[dotted]).removeprefix("a ")
    secret = "; a secret, never shown" if dotted in SECRETS else ""
    default = getattr(getattr(Settings(), section), key)
    shown = json.dumps("content" if default == ("content",) else default)
    return code(dotted), kind, code(shown), code(variable), plain(MEANINGS[dotted]) + secret
