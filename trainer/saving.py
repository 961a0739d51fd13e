"""A trained model appears whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import OutputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A new folder beside ``output`` that takes its place, and that of an older model, when the block ends well.

    Raises OutputError at the start where ``output`` cannot be made or holds something else than a model, so that
    nobody trains for hours first, and at the end where it cannot be written.
    """
    target = output.resolve()
    folder = target.with_name(f".tmp-{target.name}")
    _refuse_other_files(target)
    with _as_output_error(target):
        _remove(folder)
        folder.mkdir(parents=True)
    try:
        yield folder
        with _as_output_error(target):
            _replace(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save_model(model: "SentenceTransformer", folder: Path) -> None:
    """Write what plain ``SentenceTransformer(folder)`` opens. Raises OutputError where it cannot be written."""
    from safetensors import SafetensorError

    with _as_output_error(folder, SafetensorError):
        model.save_pretrained(str(folder), create_model_card=False)


def _refuse_other_files(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise OutputError(f"cannot save a model as {target}: it is a file; choose another folder (--output=<folder>)")
    held = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    if held and "modules.json" not in held:
        raise OutputError(
            f"cannot save a model in {target}: it holds other files ({', '.join(held[:5])}), which would be lost; "
            "choose another folder (--output=<folder>)"
        )


def _replace(folder: Path, target: Path) -> None:
    older = target.with_name(f".tmp-{target.name}-older")
    _remove(older)
    if target.exists():
        os.rename(target, older)
    os.rename(folder, target)
    _remove(older)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _as_output_error(place: Path, *more: type[Exception]) -> Iterator[None]:
    errors: tuple[type[Exception], ...] = (OSError, *more)
    try:
        yield
    except errors as error:
        raise OutputError(
            f"cannot write {place}: {error}; the disk may be full or the folder not yours: make room, or choose "
            "another folder (--output=<folder>)"
        ) from error
