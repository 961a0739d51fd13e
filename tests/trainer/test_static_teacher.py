import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sklearn.decomposition import PCA
from transformers import Olmo2Model

from mining.encoder import load_encoder
from tests.trainer.test_models import write_decoder
from trainer.models import open_model
from trainer.static_teacher import main, principal_components, words

TEXTS = ["the cat sat on the mat", "a dog ran in the park", "bread is baked in an oven"] * 5


def test_principal_components_are_scikit_learns():
    vectors = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9)
    found = principal_components(vectors, 3)
    expected = PCA(3, svd_solver="full").fit_transform(vectors)
    assert np.abs(found) == pytest.approx(np.abs(expected))
    assert principal_components(vectors[::-1], 3)[::-1] == pytest.approx(found)


def test_words_are_what_tokens_spell_without_the_marks_of_their_vocabulary():
    tokenizer = open_model("minilm", [], 32, 0).tokenizer
    ids, texts = words(tokenizer)
    by_id = dict(zip(ids, texts, strict=True))
    vocabulary = tokenizer.get_vocab()
    assert (by_id[vocabulary["cat"]], by_id[vocabulary["##ing"]]) == ("cat", "ing")
    assert not {vocabulary["[CLS]"], vocabulary["[PAD]"]} & set(ids)
    assert by_id[vocabulary["[UNK]"]] == "[UNK]"
    assert ids == sorted(ids)


@pytest.fixture
def teacher(tmp_path) -> str:
    open_model("tiny", TEXTS, 32, 0).save_pretrained(str(tmp_path / "teacher"), create_model_card=False)
    return str(tmp_path / "teacher")


def test_a_words_vector_is_the_teachers_in_fewer_dimensions(tmp_path, teacher):
    assert main([str(tmp_path / "static"), f"--teacher={teacher}", "--dims=16"]) == 0
    model = SentenceTransformer(str(tmp_path / "static"), device="cpu", local_files_only=True)
    assert [type(module).__name__ for module in model] == ["StaticEmbedding", "Normalize"]
    encoder = load_encoder(teacher)
    ids, texts = words(encoder.model.tokenizer)
    table = model[0].embedding.weight.detach().numpy()
    assert table[ids] == pytest.approx(principal_components(encoder.encode(texts).astype(np.float64), 16), abs=1e-5)
    assert not table[sorted(set(range(len(table))) - set(ids))].any()
    assert load_encoder(str(tmp_path / "static")).encode(["the cat sat"]).shape == (1, 16)


def test_a_text_of_unknown_words_alone_has_the_vector_of_such_a_word(tmp_path):
    write_decoder(tmp_path / "teacher", Olmo2Model, pad_token="<end>", unk_token="a")
    assert main([str(tmp_path / "static"), f"--teacher={tmp_path / 'teacher'}", "--dims=2"]) == 0
    unknown, same, other = load_encoder(str(tmp_path / "static")).encode(["what is that", "a", "b"])
    assert unknown == pytest.approx(same)
    assert unknown != pytest.approx(other)


@pytest.mark.parametrize(
    ("flags", "message"), [(["--dims=65"], "vectors of 64 components; give 1 to 64"), (["--dims=0"], "give 1 to 64")]
)
def test_dimensions_that_the_teacher_does_not_have(tmp_path, teacher, capsys, flags, message):
    assert main([str(tmp_path / "static"), f"--teacher={teacher}", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "static").exists()


def test_a_table_of_words_is_no_teacher_of_another(tmp_path, teacher, capsys):
    assert main([str(tmp_path / "static"), f"--teacher={teacher}", "--dims=16"]) == 0
    assert main([str(tmp_path / "again"), f"--teacher={tmp_path / 'static'}", "--dims=8"]) == 2
    assert "has no fast tokenizer (Tokenizer)" in capsys.readouterr().err
