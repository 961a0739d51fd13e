"""The data card: ``README.md`` of OUT, from its manifest alone, so that equal data has an equal card.

    kalm card OUT

A run writes it before its manifest, which names it with its digest. The form is that of the hub's dataset cards: OUT
opens with ``datasets.load_dataset(OUT, "fever")``, here and when it was uploaded as it is. No path of this machine
stands in it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.publish import open_manifest
from pipelines.reports.card_header import MARK, config_name, header
from pipelines.reports.markdown import plain, table
from pipelines.summary import losses, readmitted_rows
from pipelines.verb_parser import add_out, verb_parser
from schemas.manifest import DatasetRecord, DocumentRecord, Manifest, rejected_by_set
from schemas.reasons import words_of
from transforms.flow.files import publish, read_bytes, sha256

CARD = "README.md"
_HUB = "https://huggingface.co/datasets/"


def card(manifest: Manifest) -> str:
    """The card's text: how to open the data, what it is made of, what was left out, how it was made, whom to cite."""
    records = manifest.with_rows()
    parts = [
        "# Curated training data for text embeddings",
        _opening(records),
        "## How to open it",
        _usage(records),
        "## Datasets",
        _datasets(records) if records else "No dataset kept a row.",
        "## What was left out",
        _losses(manifest.datasets),
        _readmitted(manifest.datasets),
        "## Evaluation sets that were kept out",
        _kept_out(manifest),
        "## How it was made",
        _made(manifest),
        "## Licences and citation",
        "Every dataset has a licence of its own, as the table above states it; what was not confirmed says so. Read "
        "the licence at its source before you pass rows on, and cite the sources:",
        _citations(records),
    ]
    return header(manifest) + "\n" + "\n\n".join(part for part in parts if part) + "\n"


def _opening(records: Sequence[DatasetRecord]) -> str:
    rows, names = sum(record.num_rows for record in records), len(records)
    sample = any(record.source.startswith("sample/") for record in records)
    told = " Rows of the bundled sample imitate their datasets: they try a program out, and train nothing."
    return (
        f"{rows:,} examples of {names:,} dataset{'' if names == 1 else 's'}: a query, texts that answer or equal it "
        "(`positives`), and texts that are near and do not (`negatives`), with the teacher's cosine of each."
        + (told if sample else "")
    )


def _usage(records: Sequence[DatasetRecord]) -> str:
    if not records:
        return ""
    name = config_name(records[0].name)
    return (
        "```python\nfrom datasets import load_dataset\n\n"
        'everything = load_dataset("<this folder or its name on the hub>", split="train")\n'
        f'one = load_dataset("<this folder or its name on the hub>", "{name}", split="train")\n```\n\n'
        "Each dataset is a configuration, and so is each training stage; `rejections` holds every row that was left "
        "out, with the reason. The query is stored bare: put the prompt before it that the manifest states as "
        "`prompt_template`, with the row's `instruction`; where a dataset is symmetric, before its passages too."
    )


def _datasets(records: Sequence[DatasetRecord]) -> str:
    head = ("configuration", "stage", "task type", "languages", "rows", "read", "licence", "source", "revision")
    return table(head, [_facts(record) for record in records])


def _facts(record: DatasetRecord) -> tuple[str, ...]:
    about = record.about
    return (
        f"`{config_name(record.name)}`",
        record.stage,
        record.task_type,
        " ".join(about.languages) if about else "",
        f"{record.num_rows:,}",
        _read_of(record),
        plain(about.licence or "not stated") if about else "not stated",
        _source(record),
        plain(record.revision or "-"),
    )


def _read_of(record: DatasetRecord) -> str:
    prepared = record.stages.get("prepare")
    limit = f" (at most {record.limited:,} were taken)" if record.limited else ""
    return f"{prepared.read:,}{limit}" if prepared else ""


def _source(record: DatasetRecord) -> str:
    about = record.about
    title = plain(about.title) if about else plain(record.name)
    return f"[{title}]({_HUB}{about.hub})" if about and about.hub else title


def _losses(records: Sequence[DatasetRecord]) -> str:
    lost: Counter[str] = Counter()
    for record in records:
        lost.update(losses(record))
    if not lost:
        return "Nothing was rejected."
    rows = [(f"`{reason}`", words_of(reason), f"{number:,}") for reason, number in sorted(lost.items())]
    return table(("reason", "means", "rows"), sorted(rows, key=lambda row: -lost[row[0].strip("`")]))


def _readmitted(records: Sequence[DatasetRecord]) -> str:
    rows = [
        (f"`{reason}`", words_of(reason), f"{number:,}") for reason, number in readmitted_rows(records).most_common()
    ]
    if not rows:
        return ""
    told = "Kept all the same, since a person re-admitted them:"
    return f"{told}\n\n{table(('reason that was overruled', 'means', 'rows'), sorted(rows))}"


def _kept_out(manifest: Manifest) -> str:
    if not manifest.evaluation_sets:
        return "None was checked: the data may hold queries of evaluation sets."
    found = rejected_by_set(manifest.datasets)
    rows = [(plain(s.name), f"{s.queries:,}", f"{found[s.name]:,}") for s in manifest.evaluation_sets]
    return table(("evaluation set", "queries", "rows rejected for them"), rows)


def _made(manifest: Manifest) -> str:
    told = ", ".join(f"`{name}`" for name in manifest.training_datasets) or "none that mteb has"
    lines = [
        f"By {plain(manifest.code)}.",
        *_teachers(manifest),
        "Every number, digest and setting stands in `manifest.json`; `kalm verify` compares the files with it.",
        f"mteb's `training_datasets` of a model trained on this: {told}.",
    ]
    return "\n\n".join(filter(None, lines))


def _teachers(manifest: Manifest) -> Iterator[str]:
    of_languages = [f" of {record.words}" for record in manifest.teachers] or [""]
    for teacher, rows in zip(manifest.every_teacher, of_languages, strict=False):
        name = plain(teacher.name.rsplit("/", 1)[-1])
        yield f"Teacher{rows}: {name}, {teacher.dims} dimensions, digest `{teacher.digest}`."
    if manifest.teachers:
        yield "Scores of different teachers cannot be compared."


def _citations(records: Sequence[DatasetRecord]) -> str:
    return "\n".join(f"- {_source(record)}{_at(record)}" for record in records) or "None."


def _at(record: DatasetRecord) -> str:
    return f", revision {plain(record.revision)}" if record.revision else ""


def write_card(out: str, manifest: Manifest) -> list[DocumentRecord]:
    """Write the card of OUT, unless it is there already; gives what the manifest says of it.

    A ``README.md`` that is not ours (it lacks the mark) stays as it is, and the manifest does not name it.
    """
    data, path = card(manifest).encode(), f"{out}/{CARD}"
    there = read_bytes(path)
    if there and there != data and MARK.encode() not in there:
        return []
    if there != data:
        publish(path, data)
    return [DocumentRecord(path=CARD, sha256=sha256(data))]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    from pipelines.reporting import report_errors

    parser = verb_parser("card", "Print the data card of OUT, which a run writes to OUT/README.md.")
    add_out(parser)
    arguments = parser.parse_args(argv)
    return report_errors(lambda: print(card(open_manifest(arguments.out)), end=""))
