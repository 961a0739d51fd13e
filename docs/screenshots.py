"""The documents' pictures of a report, docs/report-*.png: ``python -m docs.screenshots OUT`` (``make screenshots``).

It needs Chromium on the PATH. The report is opened as a person would open it; nothing of it is changed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import ConfigError, tell
from tests.browser import CHROMIUM, chromium

FOLDER = Path(__file__).parent
#: Name, width, height, whether it is dark, and what is scrolled to the top.
PICTURES = (
    ("report-overview", 1200, 900, False, "body"),
    ("report-examples", 1200, 900, False, "#browser"),
    ("report-phone", 390, 780, True, "body"),
)
#: A dataset whose texts every machine has letters for.
_CHOOSE = """(() => {
    const select = document.querySelector('#browser select');
    select.value = 'fever';
    select.dispatchEvent(new Event('change'));
})()"""


def take(report: Path, to: Path) -> None:
    """Write all pictures of a report."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as page:
        for name, width, height, is_dark, place in PICTURES:
            scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
            page.send("Emulation.setEmulatedMedia", features=[scheme])
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            page.send("Emulation.setDeviceMetricsOverride", **size)
            page.open(report)
            page.run(_CHOOSE)
            page.run(f"document.querySelector({place!r}).scrollIntoView()")
            page.picture(to / f"{name}.png")
            print(f"wrote {to / name}.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path, nargs="?", default=Path("out"), help="OUT of a run (default: out)")
    parser.add_argument("--to", type=Path, default=FOLDER, help="where the pictures go (default: docs)")
    arguments = parser.parse_args(argv)
    report = arguments.out / "report.html"
    if not report.is_file():
        return tell(ConfigError(f"{report} is not there: make curate CATEGORY=retrieval writes it"))
    if CHROMIUM is None:
        return tell(ConfigError("there is no Chromium on PATH (Debian: apt-get install chromium)"))
    take(report.resolve(), arguments.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
