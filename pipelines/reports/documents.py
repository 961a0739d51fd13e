"""The documents of a run: what is written beside the manifest for people, before the manifest that names it."""

from pipelines.reports.card import write_card
from pipelines.reports.croissant import renewed
from pipelines.reports.report import write_report
from schemas.manifest import DocumentRecord, Manifest


def write_documents(out: str, manifest: Manifest) -> list[DocumentRecord]:
    """Write all documents of OUT from its manifest; gives their records."""
    return write_card(out, manifest) + write_report(out, manifest) + renewed(out, manifest)
