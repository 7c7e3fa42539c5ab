"""What a docstring of ours says: an outcome, then sections of names and meanings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from texts import plain

from eventmint import errors

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises): ?", re.MULTILINE)
ENTRY = re.compile(r"^(\w[\w, ]*?): ", re.MULTILINE)
ERROR = re.compile(rf"\b({'|'.join(name for name, one in vars(errors).items() if inspect.isclass(one))})\b")
CODE = r"`\1`"


def parts(item: object) -> tuple[str, dict[str, str]]:
    """Return the words before the first section, and the body of each section."""
    words, *rest = SECTION.split(inspect.getdoc(item) or "")
    return plain(words.strip()), dict(zip(rest[::2], map(plain, rest[1::2]), strict=True))


def summary(item: object) -> str:
    """Return the first paragraph."""
    return parts(item)[0].partition("\n\n")[0]


def entries(body: str) -> Iterator[tuple[str, str]]:
    """Yield names and meanings of a section; an entry begins a line that is not further in than others."""
    _, *pieces = ENTRY.split(inspect.cleandoc(body))
    for name, means in zip(pieces[::2], pieces[1::2], strict=True):
        yield name, " ".join(means.split())


def meanings(item: object) -> dict[str, str]:
    """Return what is said of each attribute; several may share a line."""
    said = entries(parts(item)[1].get("Attributes", ""))
    return {name: means for names, means in said for name in names.split(", ")}


def markdown(item: object) -> str:
    words, sections = parts(item)
    paragraphs = [words]
    for head, body in sections.items():
        text = " ".join(body.split())
        if head == "Args":
            paragraphs.append("\n".join(f"- `{name}`: {means}" for name, means in entries(body)))
        elif head == "Raises":
            paragraphs.append(f"Raises: {ERROR.sub(CODE, text)}")
        elif head != "Attributes":
            paragraphs.append(f"{head}: {text}")
    return "\n\n".join(paragraphs)
