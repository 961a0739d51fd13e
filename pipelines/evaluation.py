"""Which evaluation sets a run keeps out: folders in BEIR layout, ``<folder>/<set>/queries.parquet`` with ``_id`` and
``text``.
"""

import posixpath
from dataclasses import dataclass

from fsspec.core import url_to_fs

from pipelines.workplace import absolute, digest
from schemas.config import SAMPLE, RunConfig
from schemas.errors import SourceError
from transforms.decontaminate import DecontaminateParams
from transforms.digests import file_digest
from transforms.leaks import LeakCheck
from transforms.places import filesystem_of, place_of
from transforms.sources import SAMPLE_ROOT

QUERIES = "queries.parquet"


@dataclass(frozen=True, kw_only=True)
class EvaluationSets:
    """Names of evaluation sets with the files of their queries, and a digest of them all."""

    queries: tuple[tuple[str, str], ...]
    digest: str

    def check(self, params: DecontaminateParams) -> LeakCheck | None:
        """The check that prepare makes on surviving rows; None where no set was given."""
        return LeakCheck(queries=self.queries, params=params) if self.queries else None


def open_evaluation(config: RunConfig) -> EvaluationSets:
    """The evaluation sets of a run. Raises SourceError where a folder was named and holds none."""
    folder = config.evaluation or _beside(config.source)
    found = _query_files(folder) if folder else {}
    if config.evaluation and not found:
        raise SourceError(
            f"--evaluation={config.evaluation}: no <set>/{QUERIES} below it; give a folder of evaluation sets in BEIR "
            "layout (<set>/queries.parquet with the columns _id and text)"
        )
    digests = {name: file_digest(*filesystem_of(place)) for name, place in found.items()}
    return EvaluationSets(queries=tuple(sorted(found.items())), digest=digest(digests))


def _beside(source: str) -> str | None:
    """The folder ``eval`` of a sample or a directory, if it has one."""
    root = str(SAMPLE_ROOT) if source == SAMPLE else source
    filesystem, inner = url_to_fs(root)
    folder = posixpath.join(inner, "eval")
    return place_of(filesystem, folder) if filesystem.isdir(folder) else None


def _query_files(folder: str) -> dict[str, str]:
    filesystem, inner = url_to_fs(absolute(folder))
    paths = filesystem.glob(posixpath.join(inner, "*", QUERIES))
    return {path.split("/")[-2]: place_of(filesystem, path) for path in paths}
