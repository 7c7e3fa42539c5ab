"""What the site needs beyond its pages: MkDocs calls the functions whose names begin with `on_`.

Documents link to each other as files of the repository, which is how they are read there. On the site the
documents beside docs/ are pages, too; a link to a file that is no page becomes its name, since nothing here
knows where the repository can be looked at. A warning ends a strict build.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
# Documents that are not in docs/, by their place in the repository, and the pages that they are.
BESIDE = {
    "README.md": "project/readme.md",
    "PIPELINE_DOCUMENTATION.md": "project/pipeline.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/RESULTS.md": "project/benchmarks.md",
    "sample-data/README.md": "project/sample-data.md",
}
PLACES = {page: place for place, page in BESIDE.items()}
# Code first, so that a link in it is none.
LINK = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]*`)|\[(?P<text>[^\]\n]*)\]\((?P<link>[^)\s]+)\)", re.MULTILINE | re.DOTALL
)
# What a browser would load by itself: not the links that a reader may follow.
LOADS = [
    re.compile(
        r"<(?:script|img|iframe|audio|video|source|embed)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    ),
    re.compile(r"<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"),
    re.compile(r"(?:@import\s*|url\()[\"']?((?:https?:)?//[^\"')\s]+)"),
]
log = logging.getLogger("mkdocs.hooks")


def on_files(files: Any, config: Any) -> None:
    """Make pages of the documents beside docs/."""
    from mkdocs.structure.files import File

    for place, page in BESIDE.items():
        if (REPOSITORY / place).exists():
            files.append(File.generated(config, page, abs_src_path=str(REPOSITORY / place)))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page lead to where their files are on the site."""
    return relinked(markdown, page.file.src_uri)


def on_post_build(config: Any) -> None:
    """Warn of whatever a browser would load from another place."""
    for file, address in loaded_from_elsewhere(Path(config["site_dir"])):
        log.warning("%s loads %s; the site must need no other", file, address)


def relinked(markdown: str, page: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        link = found["link"]
        if found["code"] or ":" in link or link.startswith("#"):
            return found[0]
        path, mark, anchor = link.partition("#")
        target = target_of(path, page)
        if target is None:
            return found["text"] if "`" in found["text"] else f"`{found['text']}`"
        return f"[{found['text']}]({posixpath.relpath(target, posixpath.dirname(page))}{mark}{anchor})"

    return LINK.sub(replaced, markdown)


def target_of(path: str, page: str) -> str | None:
    """Return the page or picture that a link of a page means; None for a file that the site has not."""
    place = PLACES.get(page, f"docs/{page}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
    if (REPOSITORY / target).is_dir() and (REPOSITORY / target / "index.md").exists():
        target += "/index.md"
    if target in BESIDE and (REPOSITORY / target).exists():
        return BESIDE[target]
    if target.startswith("docs/") or not (REPOSITORY / target).exists():
        return target.removeprefix("docs/")  # where it is not there, the build says so
    return None


def loaded_from_elsewhere(site: Path) -> Iterator[tuple[str, str]]:
    """Yield each file of a site with an address that it loads something from."""
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css"):
            text = file.read_text(encoding="utf-8")
            for pattern in LOADS:
                yield from ((file.relative_to(site).as_posix(), address) for address in pattern.findall(text))
