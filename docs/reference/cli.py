"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
from texts import code, plain, table

from eventmint import cli as program  # with it, every command and every error
from eventmint import errors
from eventmint.cli.frame import LOG_FORMAT, switches

INTRODUCTION = f"""\
# Command line

stdout is the result, stderr is talk: progress, hints, errors. With `--json` stdout is one JSON document, and
an error is one JSON document of one line on stderr. `--help` behind a command tells the same as this page;
`eventmint` is on the path after `pip install .`, and is `.venv/bin/eventmint` in a clone.

Moments and days are UTC; of a range of days, `--to` is the day after the last. `--log-format` may also be
said by `{LOG_FORMAT}`, every setting by a variable of its own: see [configuration](config.md).
"""
HELP = ("`-h`, `--help`", "", "Show this message and exit.")


def page() -> str:
    frame = click.Context(program.cli, info_name="eventmint", help_option_names=["-h", "--help"])
    overview = [(f"[`{name}`](#{anchor(name)})", about(one)) for name, one in commands(program.cli, "")]
    parts = [
        INTRODUCTION,
        table(["command", "what it does"], overview),
        "## Exit codes\n\nThe kind is what `--json` calls it, in `error.kind`.\n",
        table(["code", "kind", "means"], exit_codes()),
        "## Before or after every command\n",
        table(["option", "default", "means"], [*map(option_row, switches()), HELP]),
        "Before the command only:\n",
        table(["option", "default", "means"], options(program.cli, frame)),
    ]
    for name, command in commands(program.cli, ""):
        parts += section(name, command)
    return "\n".join(part for part in parts if part)


def commands(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its whole name, in the order of `--help`."""
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        yield before + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def anchor(name: str) -> str:
    return f"eventmint-{name}".replace(" ", "-")


def about(command: click.Command) -> str:
    """Return the first paragraph of a command's help."""
    return " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())


def section(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"eventmint {name}", help_option_names=["-h", "--help"])
    yield f"## eventmint {name}\n"
    yield f"{plain(inspect.cleandoc(command.help or ''))}\n"
    pieces = [piece for argument in command.params for piece in argument.get_usage_pieces(context)]
    yield f"```text\n{' '.join(['eventmint', name, *pieces])}\n```\n"
    yield table(["option", "default", "means"], options(command, context))


def options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each option that is not one of every command."""
    everywhere = {"--help", *(word for switch in switches() for word in switch.opts)}
    for option in command.get_params(context):
        if isinstance(option, click.Option) and not everywhere & set(option.opts) and not option.hidden:
            yield option_row(option)


def option_row(option: click.Option) -> tuple[str, str, str]:
    words = ", ".join(map(code, option.opts + option.secondary_opts))
    value = value_of(option)
    means = f"{option.help or ''}{' Required.' if option.required else ''}"
    return f"{words} {code(value)}".rstrip(), default_of(option), plain(means)


def value_of(option: click.Option) -> str:
    """Return what stands behind an option: the choices, or a word for its kind."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper()


def default_of(option: click.Option) -> str:
    """Return a default that says itself what it does; where it means more, the text of the option tells."""
    value = option.default
    return code(value) if isinstance(value, (str, int, float, Decimal, Path)) and not option.is_flag else ""


def exit_codes() -> list[tuple[str, str, str]]:
    """Return every code with the errors that end with it, as their docstrings say."""

    def below(kind: type[errors.EventmintError]) -> Iterator[type[errors.EventmintError]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    kinds = sorted(set(below(errors.EventmintError)), key=lambda kind: (kind.exit_code, kind.__name__))
    meant = ((kind, " ".join(inspect.getdoc(kind).split())) for kind in kinds)
    return [("0", "", "Done."), *((str(kind.exit_code), code(kind.__name__), text) for kind, text in meant)]
