"""`make bench`: eventmint beside its peers, on the same data, in one sitting.

By default small: a few minutes in which every part shows that it works, and figures that say nothing. With
`--full` the sizes of the specification, some hours on two cores; only these are worth reading, on a machine
that does nothing else. Where answers are not what they must be, the exit code is 1.

What is found is printed and written: with `--full` to benchmarks/RESULTS.md, else to build/bench/RESULTS.md.
Each workload's section is kept until it is measured again: parts can be run alone.

    make bench                                          everything, small
    make bench ARGS="--full"                            everything, as the specification says
    make bench ARGS="--full backlog storage"            two parts of it
    make bench ARGS="backlog --files 6 --events 625000 --candidates polars,chdb"
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.candidates import PEER_PYTHON, ROOT
from benchmarks.goals import section_of_goals
from benchmarks.machine import described
from benchmarks.sitting import FULL, SMALL, Sitting, Sizes, taking_part

WORKLOADS = (
    "backlog", "increment", "questions", "storage", "memory", "start", "scale_out", "month", "safety"
)  # fmt: skip
INTRODUCTION = """\
# Benchmarks

Written by `make bench`{full}. Wall and CPU time include the start of the process; CPU and memory are those
of the whole process tree. Candidates take turns inside each round, tables hold medians. What is measured, how
and why: [ADR 0009](../docs/adr/0009-benchmarks.md). Compare figures of one table only: machines differ,
also from themselves an hour ago.
"""


def main() -> int:
    options = parsed()
    sizes = chosen_sizes(options)
    candidates = taking_part(options.candidates)
    sitting = Sitting(sizes, options.work.resolve(), candidates)
    sections = sitting.work / ("sections-full" if options.full else "sections-small")
    sections.mkdir(parents=True, exist_ok=True)
    packages = tuple(dict.fromkeys(name for c in candidates for name in c.packages))
    machine = described(PEER_PYTHON if PEER_PYTHON.exists() else None, packages)
    wrong = []
    for name in options.workloads or WORKLOADS:
        sitting.tell(name)
        section = import_module(f"benchmarks.workloads.{name}").run(sitting)
        wrong += section.wrong
        section.say("Measured on " + "; ".join(machine) + f". {told(sizes)}")
        print(f"\n{section.text()}", flush=True)
        (sections / f"{name}.md").write_text(section.text(), encoding="utf-8")
        (sections / f"{name}.json").write_text(json.dumps(section.facts), encoding="utf-8")
        write_results(sections, options.results or default_results(options), is_full=options.full)
    for text in wrong:
        sitting.tell(f"WRONG  {text}")
    return 1 if wrong else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--full", action="store_true", help="the sizes of the specification")
    parser.add_argument("--candidates", type=names, metavar="NAMES", help="peers, by comma (default: all)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench", help="where data are kept")
    parser.add_argument("--results", type=Path, help="file to write instead")
    for field in dataclasses.fields(Sizes):
        kind = numbers if "tuple" in str(field.type) else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar="N")
    options = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        parser.error("processes are watched by /proc, which only Linux has")
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    return options


def chosen_sizes(options: argparse.Namespace) -> Sizes:
    base = FULL if options.full else SMALL
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(Sizes)}
    return dataclasses.replace(base, **{name: value for name, value in given.items() if value is not None})


def default_results(options: argparse.Namespace) -> Path:
    return ROOT / "benchmarks" / "RESULTS.md" if options.full else options.work / "RESULTS.md"


def write_results(sections: Path, target: Path, *, is_full: bool) -> None:
    head = INTRODUCTION.format(full=' ARGS="--full"' if is_full else ", small: these figures say nothing")
    texts = [sections / f"{name}.md" for name in WORKLOADS]
    facts: dict[str, float] = {}
    for file in sections.glob("*.json"):
        facts |= json.loads(file.read_text(encoding="utf-8"))
    parts = [head, section_of_goals(facts, is_full=is_full).text()]
    parts += [file.read_text(encoding="utf-8") for file in texts if file.exists()]
    target.write_text("\n".join(parts), encoding="utf-8")


def told(sizes: Sizes) -> str:
    return "Sizes: " + ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(sizes).items()) + "."


def names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
