"""OUT as those who read it open it: its manifest, or words that say why there is none."""

from fsspec.core import url_to_fs

from pipelines.publish import read_manifest
from pipelines.workplace import absolute
from schemas.errors import ConfigError
from schemas.manifest import Manifest
from transforms.flow.files import output_error
from transforms.flow.manifests import MANIFEST


def open_manifest(out: str) -> Manifest:
    """OUT's manifest. Raises ConfigError where there is none, OutputError for one that cannot be read."""
    place = absolute(out)
    manifest = read_manifest(place)
    if manifest is None:
        raise ConfigError(f"{place} holds no {MANIFEST}: give the folder that a run was given as OUT")
    return manifest


def bytes_of(path: str) -> bytes | None:
    """What a file holds; None where there is none."""
    filesystem, inner = url_to_fs(path)
    try:
        return bytes(filesystem.cat_file(inner)) if filesystem.exists(inner) else None
    except OSError as error:
        raise output_error(path, error) from error
