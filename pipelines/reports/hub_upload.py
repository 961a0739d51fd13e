"""Upload OUT to a dataset repository of the Hugging Face Hub.

    kalm publish OUT --repo=user/name

Shards, card, report and manifest are compared with the manifest, sent, and appear there in one commit: who reads the
repository sees the old data or the new, never a mixture. What is there already is not sent again, also where an upload
was cut off: the same command goes on. Written and tested against huggingface_hub 2.4, whose own ways the token takes
(``HF_TOKEN``, ``hf auth login``).
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.publish import REJECTIONS, named_files, open_manifest
from pipelines.reporting import report_errors
from pipelines.verb_parser import add_out, verb_parser
from pipelines.verify import verify
from pipelines.workplace import absolute, shown_some
from schemas.catalog import Stage
from schemas.errors import ConfigError, DamageError, OutputError
from schemas.manifest import Manifest
from transforms.flow.manifests import MANIFEST
from transforms.flow.retry import describe, status_of, transport_errors

_TYPE = "dataset"
#: Files that are sent between two lines of progress, and after which an interrupted upload goes on.
_AT_ONCE = 50
#: Ours on the hub: what a run before left there and this one does not name is taken away with the same commit.
_OURS = re.compile(
    rf"(?:{'|'.join(stage.value for stage in Stage)})/[^/]+/[^/]+/part-\d{{5}}-of-\d{{5}}\.parquet"
    rf"|{REJECTIONS}/[^/]+/[0-9a-f]{{16}}\.parquet"
)


class LocalFile(NamedTuple):
    """A file of OUT: its path there and in the repository, and its digests as large and as small files have them."""

    path: str
    place: Path
    sha256: str
    blob_id: str


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """What an upload did: files sent, files that were there, stale files taken away, and the commit's address."""

    sent: list[str]
    there: list[str]
    removed: list[str]
    url: str


def files_of(out: str, manifest: Manifest, rejections: bool = False) -> list[str]:
    """The paths below OUT that are uploaded: those that its manifest names, and with ``rejections`` those too."""
    shards = [shard.path for record in manifest.datasets for shard in record.shards]
    documents = [document.path for document in manifest.documents]
    lost = [
        path
        for record in (manifest.datasets if rejections else [])
        for path in named_files(out, f"{REJECTIONS}/{record.name}")
        if _OURS.fullmatch(path)
    ]
    return [*shards, *lost, *documents, MANIFEST]


def local_file(out: Path, path: str) -> LocalFile:
    """A file with its digests, read once."""
    size, large = (out / path).stat().st_size, hashlib.sha256()
    small = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with (out / path).open("rb") as file:
        while chunk := file.read(4 << 20):
            large.update(chunk)
            small.update(chunk)
    return LocalFile(path, out / path, large.hexdigest(), small.hexdigest())


class _NotSent(OSError):
    """The storage behind the hub did not take a file."""


class HubRepository:
    """A dataset repository that is written to, on one branch."""

    def __init__(self, name: str, revision: str | None = None) -> None:
        from huggingface_hub import HfApi, constants, get_token

        self.name, self.revision = name, revision
        self.endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
        if get_token() is None:
            raise ConfigError(
                f"there is no token for {self.endpoint}: set HF_TOKEN, or call `hf auth login`; it needs the right to "
                f"write to {name}"
            )
        self._api = HfApi(endpoint=self.endpoint)

    def open(self, private: bool) -> None:
        """Make the repository and the branch unless they are there."""
        self._api.create_repo(self.name, repo_type=_TYPE, private=private or None, exist_ok=True)
        if self.revision:
            self._api.create_branch(self.name, repo_type=_TYPE, branch=self.revision, exist_ok=True)

    def there(self) -> dict[str, str]:
        """The digest of each file by its path: sha256 of large files, git's id of small ones."""
        from huggingface_hub import RepoFile

        tree = self._api.list_repo_tree(self.name, repo_type=_TYPE, revision=self.revision, recursive=True)
        return {f.path: f.lfs.sha256 if f.lfs else f.blob_id for f in tree if isinstance(f, RepoFile)}

    def send(self, files: Sequence[LocalFile]) -> list[Any]:
        """Send contents without committing them; gives the operations of a commit that names them."""
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.place) for file in files]
        try:
            self._api.preupload_lfs_files(
                self.name, operations, repo_type=_TYPE, revision=self.revision, num_threads=4, free_memory=False
            )
        except RuntimeError as error:  # of its threads and of its Xet client, whatever the storage behind the hub said
            raise _NotSent(f"{str(error).splitlines()[0]} ({describe(error.__cause__ or error)})") from error
        return operations

    def commit(self, additions: Sequence[Any], removed: Sequence[str], message: str) -> str:
        """Make one commit of what was sent and of what goes; gives its address."""
        from huggingface_hub import CommitOperationDelete

        operations = [*additions, *(CommitOperationDelete(path_in_repo=path) for path in removed)]
        made = self._api.create_commit(
            self.name, operations, commit_message=message, repo_type=_TYPE, revision=self.revision
        )
        return str(made.commit_url)


def upload(
    out: str,
    repository: HubRepository,
    *,
    private: bool = False,
    rejections: bool = False,
    say: Callable[[str], object] = str,
) -> Uploaded:
    """Bring what OUT's manifest names to a repository, in one commit.

    Raises ConfigError where OUT has no manifest, is no local folder, or the hub refuses the token or the name;
    DamageError where a file is not as the manifest says, before anything is sent; OutputError where the connection
    fails, with how much is there.
    """
    manifest, place = open_manifest(out), _local(out)
    faults = verify(out)
    if faults:
        raise DamageError(f"{shown_some(faults)}; the command that made {out} puts it back; nothing was sent")
    files = [local_file(place, path) for path in files_of(str(place), manifest, rejections)]
    with _Telling(repository) as telling:
        repository.open(private)
        known = repository.there()
        new = [file for file in files if known.get(file.path) not in (file.sha256, file.blob_id)]
        stale = _stale(known, files, manifest, rejections)
        if not new and not stale:
            return Uploaded(sent=[], there=[file.path for file in files], removed=[], url="")
        additions: list[Any] = []
        for start in range(0, len(new), _AT_ONCE):
            additions += repository.send(new[start : start + _AT_ONCE])
            telling.sent = len(additions)
            say(f"sent {len(additions):,} of {len(new):,} files to {repository.name}")
        url = repository.commit(additions, stale, _message(manifest))
    sent = {file.path for file in new}
    return Uploaded(
        sent=sorted(sent), there=[file.path for file in files if file.path not in sent], removed=stale, url=url
    )


def _local(out: str) -> Path:
    place = absolute(out)
    if "://" in place:
        raise ConfigError(f"{out} is no folder of this machine: copy it to one first, then publish that")
    return Path(place)


def _stale(known: Mapping[str, str], files: Sequence[LocalFile], manifest: Manifest, rejections: bool) -> list[str]:
    """Our files there that the manifest no longer names; rejections only where these are uploaded too."""
    named = {file.path for file in files}
    ours = [path for path in known if _OURS.fullmatch(path) and path not in named]
    return sorted(path for path in ours if rejections or not path.startswith(f"{REJECTIONS}/"))


def _message(manifest: Manifest) -> str:
    rows = sum(record.num_rows for record in manifest.datasets)
    return f"{rows:,} rows of {len(manifest.with_rows()):,} datasets, by {manifest.code}"


class _Telling:
    """Turns what the hub refuses or the network loses into errors that say what to do."""

    def __init__(self, repository: HubRepository) -> None:
        self._repository, self.sent = repository, 0

    def __enter__(self) -> "_Telling":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from huggingface_hub.errors import HFValidationError

        name, endpoint = self._repository.name, self._repository.endpoint
        if isinstance(error, HFValidationError):
            raise ConfigError(f"--repo={name}: {str(error).splitlines()[0]}; give user/name") from error
        if not isinstance(error, transport_errors()):
            return
        status = status_of(error)
        if status in _REFUSED:
            raise ConfigError(f"{endpoint} refuses {name}: {_REFUSED[status]} ({describe(error)})") from error
        told = f"{self.sent:,} files are there already; " if self.sent else ""
        raise OutputError(
            f"{name} could not be published to {endpoint}: {describe(error)}. Nothing that readers see has changed; "
            f"{told}the same command goes on where this one stopped"
        ) from error


#: What a status of the hub's answer means to who publishes.
_REFUSED = {
    401: "the token is not valid; set HF_TOKEN anew, or call `hf auth login`",
    403: "the token has no right to write there; give a repository of your own, or a token with that right",
    404: "there is no such repository or branch that the token may see",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser("publish", __doc__)
    add_out(parser)
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help="the dataset repository; made if absent")
    parser.add_argument("--private", action="store_true", help="make the repository a private one, if it is made")
    parser.add_argument("--revision", metavar="BRANCH", help="the branch, made if absent (default: main)")
    parser.add_argument("--rejections", action="store_true", help="send the rejected rows too (they may hold leaks)")
    given = parser.parse_args(argv)
    return report_errors(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    repository = HubRepository(given.repo, given.revision)
    done = upload(
        given.out,
        repository,
        private=given.private,
        rejections=given.rejections,
        say=lambda line: print(line, file=sys.stderr),
    )
    for line in _lines(given.repo, done):
        print(line)


def _lines(name: str, done: Uploaded) -> Iterator[str]:
    if not done.sent and not done.removed:
        yield f"{name} holds all {len(done.there):,} files already; nothing was sent"
        return
    yield f"{name}: {len(done.sent):,} files sent, {len(done.there):,} were there, {len(done.removed):,} removed"
    yield done.url
