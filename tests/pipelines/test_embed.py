"""What the embed stage hears from a teacher."""

from typing import Any

import pytest

from mining.encoder import Encoder
from mining.forward import PlainForward
from mining.teacher import TeacherParams
from pipelines.embed import Encode


@pytest.mark.parametrize(("pads", "expected"), [(False, [False, False]), (True, [None, None])])
def test_whether_a_text_is_cut_is_null_where_a_model_does_not_say(
    pads: bool, expected: list[bool | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = None
    loaded = Encoder(model=model, teacher=model, forward=PlainForward(model=model, pads=pads))
    monkeypatch.setattr("pipelines.embed.load_encoder", lambda *_: loaded)
    encode = Encode(name="a", path="a", params=TeacherParams(), digest="a")
    assert encode.truncated(["one", "two"]).to_pylist() == expected
