"""What is said of a file of a source that cannot be opened or read."""

import pyarrow as pa

from schemas.errors import SourceError
from transforms.flow.retry import describe, status_of
from transforms.sources.units import Unit


def file_error(unit: Unit, error: Exception) -> SourceError:
    """The failure of opening or reading a unit in words: the file, what is wrong with it, and the remedy."""
    if isinstance(error, FileNotFoundError):
        return SourceError(f"{unit.file} was there when the run was planned and is gone; run again to plan anew")
    if isinstance(error, PermissionError):
        return SourceError(f"{unit.file} cannot be opened: no permission to read {unit.path}")
    if status_of(error) is not None:
        return SourceError(
            f"{unit.file} is refused by its server ({describe(error)}). If it is gated, accept its terms on its page "
            f"and set HF_TOKEN; if it moved, mend the entry's `source`"
        )
    if isinstance(error, MemoryError | pa.ArrowCapacityError):
        return SourceError(f"{unit.file} holds values that are too large to be decoded: {error}")
    kind = f"{unit.compression} file" if unit.compression else f"{unit.format} file"
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(
        f"{unit.file} is not a whole {kind}: {cause}. It is truncated or damaged; download it again, or leave it out "
        f"through the entry's `source.files`"
    )
