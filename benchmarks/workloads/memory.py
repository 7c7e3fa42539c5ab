"""5. Memory: the peak of the process tree against the size of the backlog."""

from __future__ import annotations

from benchmarks.candidates import SPARK, US, rotated
from benchmarks.data import link
from benchmarks.report import Section, counted
from benchmarks.sitting import Sitting


def run(sitting: Sitting) -> Section:
    sizes, data = sitting.sizes, sitting.clean
    # Without Spark: a JVM takes what it is allowed, whatever it needs.
    candidates = tuple(candidate for candidate in sitting.candidates if candidate.name != SPARK)
    peaks: dict[str, list[str]] = {candidate.name: [] for candidate in candidates}
    highest = 0.0
    counts = [min(files, len(data.files)) for files in sizes.memory_files]
    for number, files in enumerate(counts):
        with sitting.fresh("some") as source:
            for file in data.files[:files]:
                link(file, data.source, source)
            for candidate in rotated(candidates, number):
                with sitting.fresh("memory") as out:
                    measured = candidate.run(source, out)
                sitting.tell(f"{files} files, {candidate.name}: {measured.peak_mb:.0f} MB")
                if candidate.name == US:
                    highest = max(highest, measured.peak_mb)
                peaks[candidate.name].append("aborted" if measured.trouble else f"{measured.peak_mb:.0f}")
    section = Section(f"5. Memory: files of {sizes.events:,} lines")
    section.facts["memory.peak_mb"] = highest
    section.say("Peak of the process tree in MB, resident sets added up, one run each.")
    section.table(
        ["", *(counted(files, "file") for files in counts)], [[name, *found] for name, found in peaks.items()]
    )
    return section
