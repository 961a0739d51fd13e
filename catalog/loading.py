"""Loading entries from YAML; a mistake is reported at the line where it stands."""

from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from catalog.yaml_files import Document, read_document
from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import CatalogError

#: The folder of the catalog that ships with the project; its subfolders hold the entries.
BUNDLED = Path(__file__).parent
FOLDERS = ("pretrain", "finetune", "extra")
#: The folder of a catalog, ours and others', whose files are no entries but evaluation sets.
EVALUATION = "evaluation"
_Model = TypeVar("_Model", bound=BaseModel)


def load_catalog(extra_folder: str | None = None) -> dict[str, LocatedEntry]:
    """All entries by name: the bundled ones, then those of ``extra_folder``, which add to them or override them.

    What lies below ``<extra_folder>/evaluation`` are evaluation sets, which ``load_evaluation`` loads.
    Raises CatalogError with file, line, key and what is allowed when an entry is wrong or a folder holds none.
    """
    entries = _load_files(sorted(path for folder in FOLDERS for path in (BUNDLED / folder).glob("*.yaml")))
    if extra_folder is not None:
        files = sorted(Path(extra_folder).rglob("*.yaml"))
        if not files:
            raise CatalogError(
                f"catalog folder {extra_folder!r} holds no *.yaml file; give a folder of catalog entries, or of "
                f"evaluation sets below {EVALUATION}/"
            )
        entries |= _load_files([path for path in files if Path(extra_folder, EVALUATION) not in path.parents])
    return entries


def _load_files(files: list[Path]) -> dict[str, LocatedEntry]:
    entries: dict[str, LocatedEntry] = {}
    for path in files:
        located = load_entry(path)
        name = located.entry.name
        if name in entries:
            raise CatalogError(f"{located.where('name')}: the name {name!r} is already taken by {entries[name].file}")
        entries[name] = located
    return entries


def load_entry(path: Path) -> LocatedEntry:
    """Read one entry. Raises CatalogError, which names file, line, key and rule."""
    document = read_document(path, "an entry is a mapping of keys (name, title, stage, ...)")
    if "benchmark" in document.value:
        raise CatalogError(
            f"{document.where('benchmark')}: benchmark: this file describes evaluation sets and no dataset; put it "
            f"below {EVALUATION}/ in the folder of your catalog"
        )
    return LocatedEntry(entry=validated(document, CatalogEntry, "entry"), file=document.file, lines=document.lines)


def validated(document: Document, model: type[_Model], what: str) -> _Model:
    """The model that a document holds. Raises CatalogError with a line for each mistake; ``what`` names the whole."""
    try:
        return model(**document.value)
    except ValidationError as error:
        raise CatalogError(_explain(error, document, model, what)) from error


def _explain(error: ValidationError, document: Document, model: type[BaseModel], what: str) -> str:
    lines, messages = document.lines, []
    for item in error.errors():
        path = [str(part) for part in item["loc"]] or item.get("ctx", {}).get("key", "").split(".")
        line = next((lines[key] for n in range(len(path), 0, -1) if (key := ".".join(path[:n])) in lines), 1)
        allowed = ""
        if item["type"] == "extra_forbidden":
            allowed = f"unknown key; known here: {', '.join(_known_keys(model, path))}"
        messages.append(
            f"{document.file}:{line}: {'.'.join(path) or what}: {allowed or item['msg']} (got {item['input']!r:.80})"
        )
    return "\n".join(messages)


def _known_keys(model: Any, path: list[str]) -> list[str]:
    """The keys that the model at ``path`` has, so that an unknown one can be mended."""
    for part in path[:-1]:
        if part.isdecimal():  # a place in a list, whose model was found by the list's name
            continue
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        inner = next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), None)
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)
