"""The frame of every command: its call, its switches, how it speaks and how it ends.

stdout is the result, stderr is talk: progress, hints, errors. With `--json` stdout is exactly one JSON
document and stderr is silent but for errors, each a JSON document of one line. With `--log-format json` each
line of stderr is a JSON object, talk included. Exit codes: 0 done; 1 a run or
a check failed; 2 the command line or the configuration is wrong; 3 done and published, but more quarantined
than allowed; 4 another run is at work; 5 the newest event is older than allowed; 6 the new contract breaks
the old one; 7 an hour is unlike the weeks before; 8 the plan of a run is stale; 130 interrupted.

Heavy modules are imported inside the commands: `--help` needs none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from eventmint import __version__
from eventmint.errors import Bug, EventmintError, FixSettings
from eventmint.serve.streams import (
    counting_interrupts,
    prepare_streams,
    talking_json,
    talks_json,
    tell_error,
    write_error,
    write_out,
)
from eventmint.storage import is_s3
from eventmint.storage.trouble import machine_trouble

if TYPE_CHECKING:
    from eventmint.config import Settings
    from eventmint.lake import Lake
    from eventmint.serve.answers import State
    from eventmint.serve.terminal import Page

AnyCommand = TypeVar("AnyCommand", bound=click.Command)
LOG_FORMAT = "EVENTMINT_LOG_FORMAT"
_LONGEST_SENTENCE = 200
STOPPING = "stopping in good order; Ctrl-C again stops at once"


class Interrupted(EventmintError):
    """Ctrl-C."""

    exit_code = 130


@dataclass
class Call:
    """How this call was made, and how it speaks."""

    config: Path | None = None
    home: Path | None = None
    is_quiet: bool = False
    is_verbose: bool = False
    wants_json: bool = False
    target: str | None = None
    as_of: str | None = None

    @property
    def is_silent(self) -> bool:
        return self.is_quiet or (self.wants_json and not talks_json())

    def settings(self, flags: Mapping[str, Any] | None = None) -> Settings:
        from eventmint.config import load_settings

        return load_settings(self.config, home=self.home, flags=flags, environment=os.environ)

    def settings_on_target(self, flags: Mapping[str, Any] | None = None) -> Settings:
        """Return settings whose source and lake are those of the target."""
        from eventmint.aws.target import settings_on_aws

        return settings_on_aws(self.settings({**(flags or {}), "run.target": self.target}))

    def lake(self) -> Lake:
        from eventmint.lake import Lake

        return Lake(self.settings_on_target())

    @contextmanager
    def state(self) -> Iterator[State]:
        """Open one state of the lake for several questions: that of `--as-of`, else what is published.

        What is published on this machine is asked without the lake: to import what reads and writes its
        tables takes longer than most questions.
        """
        from eventmint.serve.answers import published_state

        settings = self.settings_on_target()
        if self.as_of is None and not is_s3(settings.lake_location):
            yield published_state(settings)
            return
        with self.lake().state(self.as_of) as state:
            yield state

    def put(self, document: Mapping[str, Any], draw: Callable[[Page, Mapping[str, Any]], None]) -> None:
        """Write the result: the document itself, or a screen drawn from it."""
        if self.wants_json:
            from eventmint.serve.formats import json_text

            write_out([json_text(dict(document)), "\n"])
        else:
            from eventmint.serve.terminal import Page

            page = Page(sys.stdout)
            draw(page, document)
            write_out([page.text()])

    def say(self, text: str) -> None:
        """Talk on stderr, unless nobody wants to hear it."""
        if not self.is_silent:
            write_error(text)


SWITCHES = (
    (["--json", "wants_json"], "One JSON document on stdout."),
    (["-q", "--quiet", "is_quiet"], "No progress, no hints: results and errors only."),
    (["-v", "--verbose", "is_verbose"], "Say more, and where an error comes from."),
)


def switches() -> list[click.Option]:
    """Return the options that may stand before and after a command's name."""
    log_format = click.Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        envvar=LOG_FORMAT,
        expose_value=False,  # `main` looks for it: what is wrong with the others is told in this form, too
        help="What stderr is: text, or a JSON object a line.",
    )
    return [
        *(
            click.Option(flags, is_flag=True, expose_value=False, callback=_note, help=text)
            for flags, text in SWITCHES
        ),
        log_format,
    ]


def _note(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    call = ctx.ensure_object(Call)
    if value and option.name:
        setattr(call, option.name, True)
    if call.is_quiet and call.is_verbose:
        raise click.UsageError("-q and -v exclude each other.", ctx)


def on_target(command: AnyCommand) -> AnyCommand:
    """Let a command be told which lake it speaks of."""

    def note(ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
        call = ctx.ensure_object(Call)
        call.target = value or call.target

    text = "The lake of this configuration, or that of the stack aws.id."
    kind = click.Choice(["local", "aws"])
    command.params.append(click.Option(["--target"], type=kind, expose_value=False, callback=note, help=text))
    return command


def as_of_run(command: AnyCommand) -> AnyCommand:
    """Let a command be told of which run's state it speaks."""

    def note(ctx: click.Context, _option: click.Parameter, value: str | None) -> None:
        ctx.ensure_object(Call).as_of = value

    text = "The lake as this run left it; `history` names them."
    option = click.Option(["--as-of"], metavar="RUN", expose_value=False, callback=note, help=text)
    command.params.append(option)
    return command


class SaidInFull(click.Command):
    """A command whose first sentence stands whole in the list of commands, over two lines if need be."""

    def get_short_help_str(self, limit: int = 0) -> str:
        return super().get_short_help_str(max(limit, _LONGEST_SENTENCE))


class Command(SaidInFull):
    """A command that takes the switches also after its own name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += switches()


class Group(SaidInFull, click.Group):
    """The command line as a whole."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += switches()

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [*self.commands]  # in the order of a newcomer's day, not of the alphabet

    def invoke(self, ctx: click.Context) -> Any:
        with counting_interrupts(lambda: ctx.ensure_object(Call).say(STOPPING)) as interrupts:
            try:
                return super().invoke(ctx)
            except BaseException as err:
                # Here, because Click would write an empty line; and engines raise errors of their own.
                if interrupts.count or isinstance(err, KeyboardInterrupt):
                    raise Interrupted(
                        "interrupted: what was published is in place.", "Run it again."
                    ) from err
                raise


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C",
    "home",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Work in DIR.",
)
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Instead of eventmint.toml.")
@click.version_option(__version__, message="eventmint %(version)s")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, config: Path | None) -> None:
    """Raw shop events in, five answers out, every line accounted for."""
    call = ctx.ensure_object(Call)
    call.config = config
    if home is not None:
        if not home.is_dir():  # click takes a device for either
            raise click.BadParameter(f"{str(home)!r} is not a folder.", param_hint="-C")
        ctx.with_resource(chdir(home))
        call.home = Path.cwd()


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if args is None else args)
    is_verbose = not {"-v", "--verbose"}.isdisjoint(arguments)
    is_quiet = not {"-q", "--quiet"}.isdisjoint(arguments)
    wants_lines = _log_format(arguments) == "json"
    prepare_streams(is_verbose and not wants_lines)
    with talking_json(is_verbose, is_quiet) if wants_lines else nullcontext():
        return _run(arguments, is_verbose)


def _log_format(arguments: Sequence[str]) -> str:
    """Return the form of stderr that is asked for; the last word counts, as everywhere."""
    given = os.environ.get(LOG_FORMAT, "")
    for position, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == "--log-format":
            given = value or "".join(arguments[position + 1 : position + 2])
    return given


def _run(arguments: list[str], is_verbose: bool) -> int:
    where = ""
    try:
        return cli.main(arguments, prog_name="eventmint", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as err:
        err.show()
        return err.exit_code
    except Exception as err:  # noqa: BLE001 - the outermost entry
        error = _told(err, is_verbose)
        if is_verbose:
            import traceback

            where = "".join(traceback.format_exception(err))
    tell_error(error, "--json" in arguments, where)
    return error.exit_code


def _told(err: Exception, is_verbose: bool) -> EventmintError:
    """Return an exception as something to tell a person; what nobody foresaw is a bug."""
    if isinstance(err, EventmintError):
        return err
    if isinstance(err, click.UsageError):
        message = err.format_message()
        command = err.ctx.command_path if err.ctx else "eventmint"
        end = "" if message.endswith((".", "?", "?)")) else "."
        return FixSettings(f"{message}{end}", f"See `{command} --help`.")
    if isinstance(err, click.Abort):
        return Interrupted("interrupted.")
    hint = "" if is_verbose else "See where with -v."
    text = " ".join(str(err).split())
    return machine_trouble(err) or Bug(f"a bug in eventmint: {type(err).__name__}: {text}.", hint)
