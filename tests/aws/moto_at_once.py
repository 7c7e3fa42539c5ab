"""moto's server, without the hundredth of a second that its web server waits after each answer.

Werkzeug waits for a client that is still sending. Ours have sent all before they read, and a lake in S3 is
thousands of requests. Takes the arguments of `moto.server`.
"""

from __future__ import annotations

import selectors
import sys
from types import SimpleNamespace
from typing import Any

from moto.server import main
from werkzeug import serving

_WAIT_SECONDS = 0.01


class _AtOnce(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(0 if timeout == _WAIT_SECONDS else timeout)


def install() -> None:
    found = SimpleNamespace(DefaultSelector=_AtOnce, EVENT_READ=selectors.EVENT_READ)
    setattr(serving, "selectors", found)  # noqa: B010 - a module, to the type checker


if __name__ == "__main__":
    install()
    main(sys.argv[1:])
