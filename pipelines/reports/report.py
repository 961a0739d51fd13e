"""``report.html``: one file about OUT that opens anywhere, asks no server for anything and runs no script but its own.

    kalm report OUT [--against=OTHER]

A run writes it before its manifest. The data stand in it as JSON of which no character can end the element that holds
it; the page's script makes text nodes of them; its content security policy names that script by its digest.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipelines.publish import open_manifest, renew_document
from pipelines.reporting import report_errors
from pipelines.reports.report_facts import Facts, facts
from pipelines.verb_parser import add_out, verb_parser
from pipelines.workplace import absolute
from schemas.manifest import DocumentRecord, Manifest
from transforms.flow.files import publish, read_bytes, sha256

REPORT = "report.html"
MARK = b'<meta name="generator" content="kalm report">'
_MARKED = 4096
#: Bytes that a report does not exceed: mail servers and viewers of repositories refuse much more.
MAX_BYTES = 7_500_000
#: Rows of each dataset and reject reason, from the first number that keeps within ``MAX_BYTES``.
SAMPLES = (40, 20, 10, 5, 2, 0)
_PAGE = Path(__file__).with_name("page")
#: In a script element ``<`` may end it or begin a comment; the others end a line in older readers of JavaScript.
_ESCAPED = "<>&\u2028\u2029"


def report(out: str, manifest: Manifest, against: str | None = None) -> bytes:
    """The page of OUT; equal manifests, shards and rejections give equal bytes.

    ``against``: another run's OUT, or a manifest kept of one; then the page says what differs from it, and why.
    """
    found = facts(out, manifest, SAMPLES[0]) | {"difference": _difference(against, out) if against else None}
    for samples in SAMPLES:
        data = page(_with(found, samples))
        if len(data) <= MAX_BYTES:
            break
    return data


def _difference(against: str, out: str) -> Facts:
    from pipelines.reports.diff import compare  # which stands above: its own page has our style

    found = compare(against, out)
    changed = [change._asdict() for change in found.changed]
    return found._asdict() | {"changed": changed, "against": against}


def _with(found: Facts, samples: int) -> Facts:
    """The same facts with fewer rows."""
    datasets = []
    for dataset in found["datasets"]:
        taken: dict[str, list[object]] = {}
        for row in dataset["rejected_rows"]:
            taken.setdefault(row["reason"], []).append(row)
        lost = [row for rows in taken.values() for row in rows[:samples]]
        datasets.append(dataset | {"kept_rows": dataset["kept_rows"][:samples], "rejected_rows": lost})
    return found | {"datasets": datasets}


def page(found: Facts) -> bytes:
    """The template with style, script and data in their places, and the digests of the first two in the policy."""
    script, css = _read("report.js"), style()
    data = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in _ESCAPED:
        data = data.replace(character, f"\\u{ord(character):04x}")
    values = {"SCRIPT_HASH": policy_digest(script), "STYLE_HASH": policy_digest(css), "STYLE": css, "SCRIPT": script}
    head, tail = (_PAGE / "report.html").read_text("utf-8").split("@DATA@")
    for name, value in values.items():
        head, tail = (part.replace(f"@{name}@", value) for part in (head, tail))
    return "".join([head, data, tail]).encode()


def style() -> str:
    """The style sheet of our pages: light and dark, on a screen of any width and on paper."""
    return _read("report.css")


def _read(name: str) -> str:
    return (_PAGE / name).read_text("utf-8").replace("\r\n", "\n")


def policy_digest(text: str) -> str:
    """A script or style as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write_report(out: str, manifest: Manifest, against: str | None = None) -> list[DocumentRecord]:
    """Write the report of OUT; gives what the manifest says of it.

    A ``report.html`` that is not ours (it lacks the mark) stays as it is, and the manifest does not name it.
    """
    path = f"{out}/{REPORT}"
    there = read_bytes(path)
    if there and MARK not in there[:_MARKED]:
        return []
    data = report(out, manifest, against)
    if there != data:
        publish(path, data)
    return [DocumentRecord(path=REPORT, sha256=sha256(data))]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser("report", "Write OUT's report.html anew, or somewhere else.")
    add_out(parser)
    parser.add_argument("--write", metavar="FILE", help=f"where to (default: OUT/{REPORT})")
    parser.add_argument(
        "--against",
        metavar="OTHER",
        help="say what differs from another run (its OUT, or a manifest that was kept of it)",
    )
    arguments = parser.parse_args(argv)
    return report_errors(lambda: _run(arguments.out, arguments.write, arguments.against))


def _run(out: str, write: str | None, against: str | None) -> None:
    """Write where it was said, or beside the manifest, which then names the new report."""
    place = absolute(out)
    if write:
        manifest = open_manifest(out)
        publish(absolute(write), report(place, manifest, against))
        print(write)
        return
    written = renew_document(out, REPORT, partial(write_report, against=against))
    print(f"{out}/{REPORT}" if written else f"{out}/{REPORT} was not written by a run and was left alone")
