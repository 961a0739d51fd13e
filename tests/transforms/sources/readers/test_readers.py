import csv
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transforms.sources.readers.files import ENDINGS, read, unit_of, write
from transforms.sources.readers import read_unit
from transforms.sources.units import Compression, Unit

TEXTS = ["plain", 'déjà, "vu"', "多行\nの文", "", "🙂 end"]
ROWS = {number: {"text": text} for number, text in enumerate(TEXTS)}
HUB = Path(os.environ.get("KALM_SHARED", Path(__file__).parents[5] / "shared")) / "hub"


def parquet_bytes() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(TEXTS)), "text": TEXTS}), sink, row_group_size=2)
    return sink.getvalue()


def csv_bytes() -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("id", "text"), *enumerate(TEXTS)])
    return text.getvalue().encode()


CONTENT = {
    "jsonl": "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(TEXTS)).encode(),
    "ndjson": "".join(
        json.dumps({"id": n, "text": t}, ensure_ascii=False) + "\r\n" for n, t in enumerate(TEXTS)
    ).encode(),
    "json": json.dumps([{"id": n, "text": text} for n, text in enumerate(TEXTS)], indent=1).encode(),
    "csv": csv_bytes(),
    "tsv": b"id\ttext\n" + "".join(f"{n}\t{t}\n" for n, t in enumerate(TEXTS) if "\n" not in t).encode(),
}


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("ending", CONTENT)
def test_every_format_in_every_compression(tmp_path: Path, ending: str, compression: Compression | None) -> None:
    path = write(tmp_path / f"train.{ending}{ENDINGS[compression]}", CONTENT[ending])
    texts = [text for text in TEXTS if ending != "tsv" or "\n" not in text]
    for batch_rows in (2, 100):
        rows, broken = read(unit_of(path), "text", batch_rows=batch_rows)
        assert (rows, broken) == ({number: {"text": text} for number, text in enumerate(texts)}, {})
        assert list(rows) == sorted(rows)


def test_parquet_too(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(parquet_bytes())
    assert read(unit_of(tmp_path / "train.parquet"), "text") == (ROWS, {})


@pytest.mark.parametrize("ending", CONTENT)
def test_a_unit_of_so_many_rows_reads_no_more(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"train.{ending}", CONTENT[ending])
    assert len(read(unit_of(path, rows=3), "text")[0]) == 3
    assert len(read(unit_of(path, rows=99), "text")[0]) == len(read(unit_of(path), "text")[0])


def test_no_columns_and_no_rows_a_batch_are_refused(tmp_path: Path) -> None:
    unit = unit_of(write(tmp_path / "train.txt", b"x"))
    for columns, batch_rows in (({"@stem": "?"}, 10), ({"line": "?"}, 0)):
        with pytest.raises(ValueError, match="at least one column and one row"):
            list(read_unit(unit, columns, batch_rows=batch_rows))


@pytest.mark.skipif(not HUB.is_dir(), reason="no directory of real data in hub layout (KALM_SHARED)")
def test_real_files_read_as_many_rows_as_their_footers_say() -> None:
    for path in sorted(HUB.glob("datasets/**/*.parquet")):
        metadata = pq.read_metadata(path)
        name = metadata.schema.to_arrow_schema().names[-1]
        unit = Unit(
            dataset="any",
            config="any",
            role="rows",
            path=str(path),
            file=str(path.relative_to(HUB)),
            format="parquet",
            row_groups=tuple(range(metadata.num_row_groups)),
        )
        numbers = [n for batch in read_unit(unit, {name: "?"}) for n in batch.numbers.to_pylist()]
        assert numbers == list(range(metadata.num_rows)), path
