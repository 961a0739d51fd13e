from pathlib import Path

import pytest

from schemas.filesystems import filesystem_of, is_hub, is_local, place_of


def test_places_lead_back_to_themselves(tmp_path: Path) -> None:
    for place in (str(tmp_path), "memory://bucket/a b.csv"):
        assert filesystem_of(place_of(*filesystem_of(place))) == filesystem_of(place)
    assert place_of(*filesystem_of(str(tmp_path))) == str(tmp_path)
    assert place_of(*filesystem_of("memory://bucket/a")).startswith("memory://")
    assert is_local(filesystem_of(str(tmp_path))[0])
    assert is_local(filesystem_of(f"file://{tmp_path}")[0])
    assert not is_local(filesystem_of("memory://x")[0])


def test_the_hubs_endpoint_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "hf://datasets/org/toy@main/train.parquet"
    for endpoint in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        filesystem, inner = filesystem_of(place)
        assert (filesystem.endpoint, inner) == (endpoint, "datasets/org/toy@main/train.parquet")
        assert is_hub(filesystem)
    assert not is_hub(filesystem_of("memory://x")[0])
