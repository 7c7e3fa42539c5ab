"""The terminal: a page of text with tables and bars, and the watcher of a run. The only user of Rich.

Every text is made safe before it is printed. Colour and bold only repeat what words and numbers say;
NO_COLOR, FORCE_COLOR and TERM=dumb are respected (by Rich). A page fits 80 columns where its texts are short;
on a terminal long texts are cut to its width, in a pipe nothing is cut.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from eventmint.run_log import Progress, Silent, fields, log
from eventmint.serve.streams import plain, talks_json

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

BAR_CELLS = 20
SECONDS_BETWEEN_LINES = 10
_GAP = "  "
_EIGHTHS = " ▏▎▍▌▋▊▉"
_NARROWEST_CELL = 12


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand right."""

    title: str = ""
    right: bool = False
    style: str = ""


def right(title: str) -> Column:
    return Column(title, right=True)


BAR = Column(style="cyan")


class Page:
    """Lines for one stream, collected, then written at once."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self.width = self._console.width if stream.isatty() else None
        self._blocks = "█" if _can_encode(stream, "█" + _EIGHTHS) else ""
        self._lines: list[Text] = []

    def line(self, text: str = "", style: str = "") -> None:
        self._lines.append(Text(plain(text), style))

    def heading(self, text: str, note: str = "") -> None:
        """A line in bold, with an empty one above it unless it is the first."""
        if self._lines:
            self.line()
        self._lines.append(Text.assemble((plain(text), "bold"), (f"  {plain(note)}" if note else "", "dim")))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        cells = [[plain(cell) for cell in row] for row in rows]
        if any(column.title for column in columns):
            cells.insert(0, [plain(column.title) for column in columns])
        widths = [max((cell_len(row[n]) for row in cells), default=0) for n in range(len(columns))]
        self._narrow(columns, widths)
        for position, row in enumerate(cells):
            is_title = position == 0 and len(cells) > len(rows)
            parts = []
            for column, cell, width in zip(columns, row, widths, strict=True):
                fitted = cell if cell_len(cell) <= width else f"{set_cell_size(cell, width - 1)}…"
                space = " " * (width - cell_len(fitted))
                parts.append(
                    (space + fitted if column.right else fitted + space, "dim" if is_title else column.style)
                )
            line = Text(_GAP).join(Text(*part) for part in parts)
            line.rstrip()
            self._lines.append(line)

    def bar(self, value: float, longest: float) -> str:
        """Return a bar in proportion to the longest one; the least that is not nothing is a hairline."""
        if longest <= 0 or value <= 0:
            return ""
        eighths = max(1, round(8 * BAR_CELLS * value / longest))
        if not self._blocks:
            return "#" * max(1, round(eighths / 8))
        return self._blocks * (eighths // 8) + _EIGHTHS[eighths % 8].strip()

    def text(self) -> str:
        with self._console.capture() as capture:
            for line in self._lines:
                self._console.print(line, soft_wrap=True)
        return capture.get()

    def _narrow(self, columns: Sequence[Column], widths: list[int]) -> None:
        """Take from the widest texts what does not fit into the terminal."""
        if self.width is None:
            return
        texts = [n for n, column in enumerate(columns) if not column.right]
        while texts and sum(widths) + len(_GAP) * (len(widths) - 1) > self.width:
            widest = max(texts, key=lambda n: widths[n])
            if widths[widest] <= _NARROWEST_CELL:
                return
            widths[widest] -= 1


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


# ---- the watcher of a run --------------------------------------------------------------------------------


@contextmanager
def watching(stream: TextIO, is_silent: bool = False) -> Iterator[Progress]:
    """Give a run a watcher that suits the stream: a moving bar on a terminal, a line per stage elsewhere."""
    if is_silent:
        yield Silent()
        return
    if talks_json():
        yield LoggedProgress(stream)
        return
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not stream.isatty() or console.is_dumb_terminal:
        yield PlainProgress(stream)
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars  # slow to import, and only a terminal needs it

    bars = Bars(
        TextColumn("{task.description:<8}"),
        BarColumn(24),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )
    with bars:
        yield LiveProgress(bars)


@dataclass
class _Stage:
    """How far a stage is."""

    name: str = ""
    files: int = 0
    size_bytes: int = 0
    done_files: int = 0
    done_bytes: int = 0
    lines: int = 0
    started: float = 0.0

    def note(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-3)
        if not self.files:
            return f"{seconds:.0f} s"
        text = f"{self.done_files:,}/{self.files:,} files"
        if self.lines:
            text += f"  {_rate(self.lines / seconds)} lines/s"
        if self.done_bytes:
            text += f"  eta {_clock(seconds * (self.size_bytes - self.done_bytes) / self.done_bytes)}"
        return text


class _Watcher:
    """Keeps count of the stage and tells when it has ended."""

    def __init__(self) -> None:
        self._stage = _Stage()
        self._ended: dict[str, float] = {}

    def start(self, stage: str, files: int, size_bytes: int) -> None:
        self._stage = _Stage(stage, files, size_bytes, started=time.monotonic())

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        self._stage.done_files += files
        self._stage.done_bytes += size_bytes
        self._stage.lines += lines

    def finish(self, stage: str, note: str) -> None:
        now = time.monotonic()
        # A long backlog comes in many batches: not each of them is worth a line.
        if now - self._ended.get(stage, -math.inf) >= SECONDS_BETWEEN_LINES:
            self._ended[stage] = now
            self.write(f"{stage:<8}  {note}, {now - self._stage.started:.1f} s")

    def write(self, line: str) -> None:
        raise NotImplementedError


class PlainProgress(_Watcher):
    """Writes a line when a stage ends, and one every ten seconds while it lasts."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._wrote = 0.0

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        super().advance(files, size_bytes, lines)
        if time.monotonic() - max(self._stage.started, self._wrote) >= SECONDS_BETWEEN_LINES:
            self.write(f"{self._stage.name:<8}  {self._stage.note()}")

    def write(self, line: str) -> None:
        self._wrote = time.monotonic()
        with suppress(OSError):  # nobody listens any more: no reason to stop a run
            self._stream.write(f"{line}\n")
            self._stream.flush()


class LoggedProgress(PlainProgress):
    """Logs what `PlainProgress` would write."""

    def write(self, line: str) -> None:
        self._wrote = time.monotonic()
        stage = self._stage
        log.info(
            "%s",
            " ".join(line.split()),
            extra=fields(
                stage=stage.name,
                files=stage.done_files,
                bytes=stage.done_bytes,
                lines=stage.lines,
                seconds=round(self._wrote - stage.started, 3),
            ),
        )


class LiveProgress(_Watcher):
    """Moves a bar while a stage lasts and leaves a line when it ends."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self._bars = bars
        self._task: TaskID | None = None

    def start(self, stage: str, files: int, size_bytes: int) -> None:
        super().start(stage, files, size_bytes)
        self._remove_bar()
        self._task = self._bars.add_task(stage, total=size_bytes or None, note="")

    def advance(self, files: int, size_bytes: int, lines: int) -> None:
        super().advance(files, size_bytes, lines)
        if self._task is not None:
            self._bars.update(self._task, advance=size_bytes, note=self._stage.note())

    def finish(self, stage: str, note: str) -> None:
        self._remove_bar()
        super().finish(stage, note)

    def _remove_bar(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None

    def write(self, line: str) -> None:
        self._bars.console.print(line, soft_wrap=True)


def _rate(per_second: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "K")):
        if per_second >= size:
            return f"{per_second / size:.1f}{letter}"
    return f"{per_second:.0f}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
