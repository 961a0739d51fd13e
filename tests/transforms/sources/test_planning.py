from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.test_layout import wanted
from transforms.sources import planning
from transforms.sources.planning import RowGroup, SourceFile, choice_hash, consecutive, empty_lines, unit_of, units_of

groups_of = st.lists(
    st.builds(RowGroup, rows=st.integers(1, 40_000), size=st.integers(1, 40 << 20)), min_size=1, max_size=20
)


@given(groups=groups_of, data=st.data())
def test_units_are_runs_of_neighbours_within_both_limits(groups: list[RowGroup], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(groups))), unique=True))
    runs = list(consecutive(groups, chosen))
    assert [index for run in runs for index in run] == sorted(chosen)
    for run in runs:
        assert list(run) == list(range(run[0], run[-1] + 1))
        fits = (
            sum(groups[i].rows for i in run) <= planning.UNIT_ROWS
            and sum(groups[i].size for i in run) <= planning.UNIT_BYTES
        )
        assert fits or len(run) == 1
    for before, after in pairwise(runs):
        joined = [*before, after[0]]
        assert (
            after[0] != before[-1] + 1
            or sum(groups[i].rows for i in joined) > planning.UNIT_ROWS
            or sum(groups[i].size for i in joined) > planning.UNIT_BYTES
        )


def source_file(path: Path) -> SourceFile:
    return SourceFile(
        wanted=wanted("en"), place=str(path), file=f"datasets/org/toy/en/{path.name}", size=path.stat().st_size
    )


def test_a_parquet_file_is_cut_at_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "UNIT_ROWS", 25)
    pq.write_table(pa.table({"n": range(64)}), tmp_path / "train.parquet", row_group_size=10)
    units = units_of("toy", source_file(tmp_path / "train.parquet"))
    assert [(unit.row_groups, unit.first_row, unit.rows) for unit in units] == [
        ((0, 1), 0, 20),
        ((2, 3), 20, 20),
        ((4, 5, 6), 40, 24),
    ]
    assert {(unit.dataset, unit.config, unit.role, unit.file) for unit in units} == {
        ("toy", "en", "rows", "datasets/org/toy/en/train.parquet")
    }


def test_any_other_file_is_one_unit(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(b"x")
    (unit,) = units_of("toy", source_file(path))
    assert (unit.format, unit.compression, unit.row_groups, unit.rows) == ("jsonl", "gzip", None, None)


def test_files_without_rows_give_no_unit_and_a_line(tmp_path: Path) -> None:
    (tmp_path / "train.csv").touch()
    pq.write_table(pa.table({"n": pa.array([], pa.int64())}), tmp_path / "train.parquet")
    files = [source_file(tmp_path / name) for name in ("train.csv", "train.parquet")]
    units = [units_of("toy", file) for file in files]
    assert units == [[], []]
    size = (tmp_path / "train.parquet").stat().st_size
    (line,) = empty_lines(files, units)
    assert line == (
        "catalog/toy.yaml:9: config en, split train: its files hold no rows: "
        f"datasets/org/toy/en/train.csv (0 bytes), datasets/org/toy/en/train.parquet ({size} bytes)"
    )
    assert empty_lines(files * 3, units * 3)[0].endswith(", datasets/org/toy/en/train.csv (0 bytes) and 3 more")
    (tmp_path / "other.csv").write_text("a\n1\n")
    more = [*files, source_file(tmp_path / "other.csv")]
    assert empty_lines(more, [units_of("toy", file) for file in more]) == []


def test_a_damaged_file_is_told_when_it_is_planned(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match=r"datasets/org/toy/en/train\.parquet is not a whole parquet file"):
        units_of("toy", source_file(tmp_path / "train.parquet"))


def test_names_of_no_format_have_no_unit(tmp_path: Path) -> None:
    (tmp_path / "train.doc").touch()
    with pytest.raises(ValueError, match=r"train\.doc is of no format"):
        unit_of("toy", source_file(tmp_path / "train.doc"))


def test_the_choice_depends_on_file_and_number_alone() -> None:
    hashes = {choice_hash(file, number) for file in ("a", "b", "a\t1") for number in range(50)}
    assert len(hashes) == 150
    assert choice_hash("a", 1) == choice_hash("a", 1)
