import pytest

from transforms.sources.units import Unit, endings, split_name

UNIT = Unit(
    dataset="y",
    config="default",
    role="rows",
    path="/data/é x.parquet",
    file="datasets/y/é x.parquet",
    format="parquet",
    row_groups=(2, 3),
    first_row=40,
    rows=20,
)


def test_units_travel_as_one_line_of_json() -> None:
    assert Unit.from_json(UNIT.to_json()) == UNIT
    assert "\n" not in UNIT.to_json()
    lines = Unit(dataset="y", config="c", role="qrels", path="a.tsv", file="a.tsv", format="tsv")
    assert Unit.from_json(lines.to_json()) == lines


@pytest.mark.parametrize(
    "change", [{"role": "passages"}, {"format": "xlsx"}, {"row_groups": None}, {"format": "csv", "row_groups": (0,)}]
)
def test_units_refuse_what_no_reader_could_use(change: dict[str, object]) -> None:
    fields = {**UNIT.__dict__, **change}
    with pytest.raises(ValueError, match="unit of datasets/y"):
        Unit(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("train-00000-of-00001.parquet", ("train-00000-of-00001", "parquet", None)),
        ("train.jsonl.gz", ("train", "jsonl", "gzip")),
        ("train.ndjson.zstd", ("train", "jsonl", "zstd")),
        ("a.b.csv.zst", ("a.b", "csv", "zstd")),
        ("qrels.tsv", ("qrels", "tsv", None)),
        ("chess.txt", ("chess", "text", None)),
        ("data.json", ("data", "json", None)),
        ("README.md", None),
        ("archive.gz", None),
        (".jsonl", None),
    ],
)
def test_names_say_format_and_compression(name: str, parts: object) -> None:
    assert split_name(name) == parts


def test_endings_name_every_format() -> None:
    assert all(ending in endings() for ending in (".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt", ".gz", ".zst"))
