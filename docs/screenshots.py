"""The documents' pictures of a report, docs/report-*.png: ``python -m docs.screenshots OUT`` (``make screenshots``).

It needs Chromium on the PATH. The report is opened as a person would open it; nothing of it is changed. Where a local
Flink cluster is up that has made a run, pictures of its web page are taken too, docs/flink-*.png.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.engines import flink
from pipelines.engines.flink_cluster import rest_get
from pipelines.engines.flink_params import FlinkParams
from pipelines.engines.ports import HOST, wait_until
from schemas.errors import ConfigError, tell
from tests.browser import CHROMIUM, chromium

FOLDER = Path(__file__).parent
#: Name, width, height, whether it is dark, and what is scrolled to the top.
PICTURES = (
    ("report-overview", 1200, 900, False, "body"),
    ("report-examples", 1200, 900, False, "#browser"),
    ("report-phone", 390, 780, True, "body"),
)
#: Lets the browser, which knows no address, reach Flink's page.
_ALLOW_LOCAL = (f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",)
#: How long Flink's page takes to draw what it has (seconds).
_SETTLED_S = 2.0
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


def take_flink(params: FlinkParams, to: Path) -> None:
    """Write pictures of the web page of the local cluster: all jobs, and the graph of the last one that embedded."""
    jobs = rest_get(params, "/jobs/overview")["jobs"]
    embedded = [job for job in jobs if job["name"].startswith("kalm-embed") and job["state"] == "FINISHED"]
    if not embedded:
        return
    latest = max(embedded, key=lambda job: job["start-time"])["jid"]
    page_of = f"http://{HOST}:{params.ports.rest}/#"
    pictures = (
        ("flink-jobs", "/job/completed", "td", 460),
        ("flink-embed", f"/job/completed/{latest}/overview", "g.node", 1300),
    )
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile), _ALLOW_LOCAL) as page:
        page.visit(page_of)
        for name, place, sign, height in pictures:
            size = {"width": 1500, "height": height, "deviceScaleFactor": 1, "mobile": False}
            page.send("Emulation.setDeviceMetricsOverride", **size)
            page.run(f"window.location.href = {page_of + place!r}")
            found = wait_until(lambda sign=sign: page.run(f"document.querySelectorAll({sign!r}).length"), timeout_s=30)
            if not found:
                raise ConfigError(f"{page_of + place} showed no {sign} within 30 s; is it another Flink's page?")
            time.sleep(_SETTLED_S)
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
    if params := flink.running():
        take_flink(params, arguments.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
