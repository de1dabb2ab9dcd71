"""From an object that can be saved to a repository of the hub, through huggingface_hub: create it, upload, commit.

Tokens, HF_ENDPOINT and offline mode are huggingface_hub's own. Large files go up as huggingface_hub sends them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from regconv.checkpoint import FLAX_NAME
from regconv.errors import CheckpointError
from regconv.known_keywords import take_saving_keywords

# What a push of weights replaces: left beside a new pickle, older safetensors would win over it, and older shards could
# be mistaken for new ones. Other frameworks' own files stay where they are read after what is pushed.
_OLDER_WEIGHTS = [
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
]
_BEFORE_MSGPACK = ["tf_model*.h5", "tf_model.h5.index.json"]  # read before flax_model.msgpack
_MAIN = "main"


@dataclass(frozen=True)
class PushOptions:
    """How to push, by huggingface_hub's own words. revision: a branch, which is made if it is not there."""

    private: bool | None = None
    token: str | bool | None = None
    commit_message: str | None = None
    commit_description: str | None = None
    revision: str | None = None
    create_pr: bool = False


class Pushable:
    """What has a save_pretrained can also be pushed."""

    save_pretrained: Callable[..., Any]

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
        commit_description: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        **saving: Any,
    ) -> Any:
        """Saves into a repository of the hub and returns huggingface_hub's CommitInfo, a str: the commit's address.

        The repository is made if it is not there. revision: a branch; create_pr: as a pull request; further keywords
        are save_pretrained's. Raises CheckpointError: no token, no permission, no such name, hub out of reach.
        """
        return push(
            repo_id,
            lambda folder: self.save_pretrained(folder, **saving),
            private=private,
            token=token,
            commit_message=commit_message or f"Upload {type(self).__name__}",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )


def push(repo_id: str, save: Callable[[Path], Any], **options: Any) -> Any:
    """Pushes what `save` writes into the folder that it is given; options: the fields of PushOptions.

    Returns huggingface_hub's CommitInfo. Raises CheckpointError.
    """
    chosen = PushOptions(**options)
    _check_token(repo_id, chosen)
    with tempfile.TemporaryDirectory(prefix="regconv-push-") as folder:
        save(Path(folder))
        return _upload(repo_id, Path(folder), None, chosen)


def accepted_push_options(push_to_hub: bool, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of save_pretrained that are for pushing, without those that change nothing.

    To be asked before anything is written. Raises TypeError for others, and for any without push_to_hub.
    """
    known = {"repo_id", *(field.name for field in fields(PushOptions))}
    options = dict(keywords)
    take_saving_keywords(options)
    unknown = sorted(options.keys() - known)
    if unknown:
        raise TypeError(
            f"save_pretrained got unknown keywords: {', '.join(unknown)}; with push_to_hub=True it also has "
            f"{', '.join(sorted(known))}"
        )
    if push_to_hub:
        return options
    asked = sorted(name for name, value in options.items() if value not in (None, False))
    if asked:
        raise TypeError(f"save_pretrained got {', '.join(asked)}, without push_to_hub=True")
    return {}


def push_saved(folder: Path, names: Collection[str], what: str, keywords: Mapping[str, Any]) -> Any:
    """Pushes these files of a folder; keywords: repo_id (without it the folder's name) and the fields of PushOptions.

    Returns huggingface_hub's CommitInfo. Raises CheckpointError.
    """
    chosen = {"commit_message": f"Upload {what}", **keywords}
    repo_id = chosen.pop("repo_id", None) or folder.absolute().name
    options = PushOptions(**chosen)
    _check_token(repo_id, options)
    return _upload(repo_id, folder, sorted(names), options)


def _check_token(repo_id: str, options: PushOptions) -> None:
    from huggingface_hub import get_token

    if not isinstance(options.token, str) and (options.token is False or get_token() is None):
        raise CheckpointError(
            f"{repo_id} cannot be pushed without a token: give token=, set HF_TOKEN, or log in with `hf auth login`"
        )


def _upload(repo_id: str, folder: Path, names: list[str] | None, options: PushOptions) -> Any:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, HTTPError

    found = {path.name for path in folder.iterdir()} if names is None else set(names)
    has_weights = any(name.endswith((".safetensors", ".bin", ".msgpack")) for name in found)
    older = _OLDER_WEIGHTS + (_BEFORE_MSGPACK if FLAX_NAME in found else [])
    api = HfApi(token=options.token)
    try:
        repo = api.create_repo(repo_id, private=options.private, exist_ok=True).repo_id
        if options.revision not in (None, _MAIN) and not options.revision.startswith("refs/"):
            api.create_branch(repo, branch=options.revision, exist_ok=True)
        return api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=names,
            delete_patterns=older if has_weights else None,
            commit_message=options.commit_message,
            commit_description=options.commit_description,
            revision=options.revision,
            create_pr=options.create_pr,
        )
    except (OSError, ValueError, RuntimeError, HTTPError, EntryNotFoundError) as error:
        raise CheckpointError(f"{repo_id} could not be pushed to the hub {api.endpoint}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # of one file's upload
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "it does not know the token: log in again with `hf auth login`, or give another with token="
    if status == 403:
        return "the token may not write there: give one with write access, or a repository of your own"
    if isinstance(error, errors.HFValidationError):
        return f"that is no valid repository name: {error}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "offline mode is on: unset HF_HUB_OFFLINE"
    if status is None and isinstance(error, errors.HTTPError | ConnectionError):
        return f"it could not be reached ({type(error).__name__}: {error})"
    return f"{type(error).__name__}: {error}".strip()
