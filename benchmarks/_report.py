"""Markdown of measurements: tables, what the machine is, and the block of a document that they fill; flags of sizes."""

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.this_machine import cores


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them, as a flag gives them."""
    return [int(word) for word in text.split(",") if word]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Cores that this process may use, kind of CPU, memory, and how busy the machine is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{cores()} cores of {_cpu()}, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the start"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions(names: Iterable[str]) -> str:
    """Python and the libraries with their versions; one that is not installed is left out."""
    found = [f"Python {platform.python_version()}"]
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def block(document: str, name: str) -> str:
    """What stands in a block of a document (see ``fill``). Raises ValueError where there is not exactly one."""
    opening, closing = f"<!-- bench:{name} -->", "<!-- /bench -->"
    _, *rest = document.split(opening)
    if len(rest) != 1 or closing not in rest[0]:
        raise ValueError(f"the document must hold {opening} once, and {closing} below it; it holds {len(rest)}")
    return rest[0].partition(closing)[0].strip()


def fill(path: Path, name: str, text: str) -> None:
    """Put ``text`` between ``<!-- bench:name -->`` and ``<!-- /bench -->`` of a document, in place of what is there.

    Raises ValueError where the document has no such block, or more than one.
    """
    opening, closing = f"<!-- bench:{name} -->", "<!-- /bench -->"
    document = path.read_text("utf-8")
    before, *rest = document.split(opening)
    if len(rest) != 1 or closing not in rest[0]:
        raise ValueError(
            f"{path} must hold {opening} once, and {closing} below it, for the measurements to stand between; it holds "
            f"the former {len(rest)} times: add the two lines where the table belongs"
        )
    after = rest[0].partition(closing)[2]
    path.write_text(f"{before}{opening}\n{text}\n{closing}{after}", "utf-8")
