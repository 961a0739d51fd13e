"""``croissant.json``: OUT described in MLCommons' Croissant format, by the format's own library, which validates it.

    kalm croissant OUT

A record set for each dataset, a file object with its sha256 for each shard. The library is an extra of its own
(``pip install "kalm-curation[croissant]"``). Where the file is there, each run writes it anew; the manifest names it.
"""

import json
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from pipelines.publish import open_manifest, renew_document
from pipelines.reporting import report_errors
from pipelines.reports.card_header import FEATURES, config_name, languages
from pipelines.verb_parser import add_out, verb_parser
from schemas.errors import ConfigError
from schemas.manifest import DatasetRecord, DocumentRecord, Manifest
from transforms.flow.files import exists, publish, sha256

CROISSANT = "croissant.json"
_HUB = "https://huggingface.co/datasets/"
_PARQUET = "application/x-parquet"


def croissant(manifest: Manifest) -> bytes:
    """The metadata of a manifest; equal manifests give equal bytes.

    Raises ConfigError where mlcroissant is not installed, or no dataset has rows; mlcroissant's own ValidationError
    for a fault of this module.
    """
    mlc, records = _library(), manifest.with_rows()
    if not records:
        raise ConfigError(f"no dataset of the manifest has rows: there is nothing that {CROISSANT} could describe")
    files = [_file(mlc, shard.path, shard.sha256) for record in records for shard in record.shards]
    rows = sum(record.num_rows for record in records)
    metadata = mlc.Metadata(
        name="curated-text-embedding-data",
        description=f"{rows:,} examples of {len(records):,} datasets for training text-embedding models: queries with "
        f"positives, hard negatives and a teacher's scores. Curated by {manifest.code}.",
        license=sorted({_licence(record) for record in records}),
        in_language=languages(records),
        cite_as="; ".join(_source(record) for record in records),
        distribution=[*files, *(_file_set(mlc, record) for record in records)],
        record_sets=[_record_set(mlc, record) for record in records],
    )
    value = metadata.to_json()
    _validate(mlc, value)
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _validate(mlc: Any, value: dict[str, Any]) -> None:
    """Read the metadata as anyone reads it: what was made piece by piece is checked as a whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of rdflib, about its own classes
        mlc.Dataset(jsonld=value)


def _library() -> Any:
    """mlcroissant, which takes pandas along: imported only when it is asked for."""
    try:
        import mlcroissant
    except ImportError as error:
        raise ConfigError(
            f'mlcroissant is not installed ({error}): pip install "kalm-curation[croissant]", or in a checkout '
            'pip install -e ".[croissant]"'
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)  # it recommends a date and a version, which no manifest has
    return mlcroissant


def _file(mlc: Any, path: str, digest: str) -> Any:
    return mlc.FileObject(id=path, name=path, content_url=path, encoding_formats=[_PARQUET], sha256=digest)


def _file_set(mlc: Any, record: DatasetRecord) -> Any:
    """The shards of a dataset as one thing, whatever their number."""
    return mlc.FileSet(
        id=_shards_of(record),
        name=_shards_of(record),
        description=f"the shards of {record.name}",
        encoding_formats=[_PARQUET],
        includes=[shard.path for shard in record.shards],
    )


def _shards_of(record: DatasetRecord) -> str:
    """An id beside those of the dataset's fields; with a space in it the library would write it and not read it."""
    return f"{config_name(record.name)}/shards"


def _record_set(mlc: Any, record: DatasetRecord) -> Any:
    name = config_name(record.name)
    return mlc.RecordSet(
        id=name,
        name=name,
        description=f"{record.num_rows:,} rows, {record.task_type}, of the stage {record.stage}. Source: "
        f"{_source(record)}. Licence: {_licence(record)}",
        fields=[_field(mlc, record, name, feature) for feature in FEATURES],
    )


def _field(mlc: Any, record: DatasetRecord, name: str, feature: dict[str, str]) -> Any:
    types = {"string": mlc.DataType.TEXT, "float32": mlc.DataType.FLOAT, "int32": mlc.DataType.INTEGER}
    is_list = "list" in feature
    return mlc.Field(
        id=f"{name}/{feature['name']}",
        name=feature["name"],
        data_types=[types[feature["list"] if is_list else feature["dtype"]]],
        source=mlc.Source(file_set=_shards_of(record), extract=mlc.Extract(column=feature["name"])),
        **({"is_array": True, "array_shape": "-1"} if is_list else {}),
    )


def _licence(record: DatasetRecord) -> str:
    return (record.about.licence if record.about else None) or "not stated"


def _source(record: DatasetRecord) -> str:
    about = record.about
    title = about.title if about else record.name
    address = f" ({_HUB}{about.hub})" if about and about.hub else ""
    return f"{title}{address}{f', revision {record.revision}' if record.revision else ''}"


def write_croissant(out: str, manifest: Manifest) -> list[DocumentRecord]:
    """Write the metadata of OUT; gives what the manifest says of it. Raises ConfigError as ``croissant`` does."""
    data = croissant(manifest)
    publish(f"{out}/{CROISSANT}", data)
    return [DocumentRecord(path=CROISSANT, sha256=sha256(data))]


def renewed(out: str, manifest: Manifest) -> list[DocumentRecord]:
    """What a run does about it: written anew where it is there and can be made, else no longer named."""
    if not exists(f"{out}/{CROISSANT}") or find_spec("mlcroissant") is None or not manifest.with_rows():
        return []
    return write_croissant(out, manifest)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser(
        "croissant", f"Write OUT/{CROISSANT}, which describes OUT in the Croissant format; each run then renews it."
    )
    add_out(parser)
    given = parser.parse_args(argv)
    return report_errors(lambda: _run(given.out))


def _run(out: str) -> None:
    _library()
    open_manifest(out)
    renew_document(out, CROISSANT, write_croissant)
    print(f"{out}/{CROISSANT}")
