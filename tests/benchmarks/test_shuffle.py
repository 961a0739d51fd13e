"""What the benchmark of shuffles counts."""

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from benchmarks.shuffle import counted, lines, pairs


def test_the_bytes_of_a_grouping_are_counted_by_key() -> None:
    with counted() as found, beam.Pipeline(runner=FnApiRunner()) as pipeline:
        rows = [("a", b"x" * 1000), ("b", b"y" * 10), ("a", b"z" * 500)]
        pipeline | beam.Create(rows, reshuffle=False) | "By letter" >> beam.GroupByKey()
    assert found.noted.keys() == {"By letter"}
    assert 1510 < found.noted["By letter"] < 1600
    assert sorted(found.keys.values()) == [10, 1500]


def test_rows_of_a_template_differ_at_their_ends_alone() -> None:
    (drawn,) = pairs(20, template=True)
    middles = {" ".join(text.split()[:-2]) for text in drawn["positive"].to_pylist()}
    assert len(middles) == 1
    assert len(set(drawn["positive"].to_pylist())) > 10
    (drawn,) = pairs(1000, template=False)
    assert len(set(drawn["query"].to_pylist())) < 900, "copies"


def test_small_groupings_are_summed() -> None:
    told = {"noted": {f"g{n}": 100 * (n + 1) for n in range(9)}, "key": "g8", "most": 450}
    found = list(lines(100, False, told))
    assert found[0] == ("100", "g8", "9", "10.00%")
    assert found[-2:] == [("100", "all others", "6", ""), ("100", "**all**", "45", "10.00%")]
