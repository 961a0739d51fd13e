"""The documents of a run: what is written beside the manifest for people, before the manifest that names it."""

from pipelines.publish import read_manifest
from pipelines.reports.card import write_card
from pipelines.reports.report import REPORT, write_report
from schemas.manifest import DocumentRecord, Manifest
from transforms.flow.content import KnownFile, find_faults


def write_documents(out: str, manifest: Manifest) -> list[DocumentRecord]:
    """Write all documents of OUT from its manifest; gives their records.

    A report of the same data by the same code is not made again.
    """
    return write_card(out, manifest) + (_report_there(out, manifest) or write_report(out, manifest))


def _report_there(out: str, manifest: Manifest) -> list[DocumentRecord]:
    before = read_manifest(out)
    if before is None or before.model_copy(update={"documents": []}) != manifest.model_copy(update={"documents": []}):
        return []
    there = [document for document in before.documents if document.path == REPORT]
    files = [KnownFile(path=f"{out}/{d.path}", shown=d.path, sha256=d.sha256) for d in there]
    return [] if find_faults(files) else there
