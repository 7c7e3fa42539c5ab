"""The command line, asked by a test: in this process, about one shop."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from deliveries import Shop

from eventmint.cli import main

Ask = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def asking(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return what runs a command under the shop's own settings: its exit code, stdout and stderr."""

    def asked(*arguments: object) -> tuple[int, str, str]:
        code = main(["--config", str(shop.folder / "eventmint.toml"), *map(str, arguments)])
        return (code, *capsys.readouterr())

    return asked
