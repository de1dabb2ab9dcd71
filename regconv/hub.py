"""From a model's name to a local folder: a folder as it is, or a hub model through huggingface_hub and its cache.

Offline mode (HF_HUB_OFFLINE), HF_HOME, HF_ENDPOINT and stored tokens are huggingface_hub's own and are respected.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from regconv.checkpoint import (
    CONFIG_NAME,
    INDEX_ENDING,
    PREPROCESSOR_NAME,
    MadeBy,
    shard_names,
    weight_names,
    weights_at,
)
from regconv.errors import ModelNotFound
from regconv.known_keywords import take_hub_keywords

STARTER = "starter"
SHIPPED_STARTER = Path(__file__).with_name(STARTER)
_ADVICE = (
    "Give a folder that holds config.json and model.safetensors, fetch the model while online, "
    "or take the model that needs no download: starter (on the command line: --model starter)."
)
_UNREACHABLE = "the Hugging Face hub can't be reached"
_PREPROCESSOR_ADVICE = (
    "It says how pictures become the network's input. Copy it from where the checkpoint came from, or write it: "
    "regconv.ConvNextImageProcessor(size=..., crop_pct=...).save_pretrained({folder!r})"
)


class _Unreachable(ModelNotFound):
    """A file is not in the cache, and the hub does not answer."""


@dataclass(frozen=True)
class HubOptions:
    """How to ask the hub, by huggingface_hub's own words. prefer_cached asks it only for what is not here yet.

    subfolder: where the model's files lie below its folder or repository.
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    force_download: bool = False
    subfolder: str = ""
    prefer_cached: bool = False

    @classmethod
    def take(cls, keywords: dict[str, Any]) -> Self:
        """The options among `keywords`, which are removed from them, with what regconv.known_keywords knows of the hub.

        Raises TypeError for what cannot be done here, ValueError for two different tokens.
        """
        take_hub_keywords(keywords)
        return cls(**{field.name: keywords.pop(field.name) for field in fields(cls) if field.name in keywords})


def fetch_file(model: str | os.PathLike[str], name: str, options: HubOptions) -> Path:
    """The local path of one file of a model. Raises ModelNotFound, which says what was tried."""
    folder = local_folder(model)
    if folder is not None:
        folder /= options.subfolder
        if not (folder / name).is_file():
            advice = _PREPROCESSOR_ADVICE.format(folder=str(folder)) if name == PREPROCESSOR_NAME else _ADVICE
            raise ModelNotFound(f"the folder {folder} holds no {name}. {advice}")
        return folder / name
    return _download_or_say_at_once(os.fspath(model), name, options)


def local_folder(model: str | os.PathLike[str]) -> Path | None:
    """The folder of a model that is on this machine, None for a hub model.

    "starter" is the one in the repository, unless a folder of that name with a config.json is here too.
    """
    folder = Path(model).expanduser()
    if model == STARTER and not (folder / CONFIG_NAME).is_file():
        return SHIPPED_STARTER
    return folder if folder.is_dir() else None


def fetch_checkpoint(
    model: str | os.PathLike[str],
    options: HubOptions = HubOptions(),
    *,
    use_safetensors: bool | None = None,
    made_by: MadeBy | None = None,
    with_preprocessor: bool = False,
) -> Path:
    """The local folder with config.json and weights, and preprocessor_config.json where the model has one.

    Raises ModelNotFound. use_safetensors, made_by: as in regconv.checkpoint.weight_names. with_preprocessor: what the
    cache holds counts as complete only with that file.
    """
    folder = local_folder(model)
    if folder is not None:
        return fetch_file(folder, CONFIG_NAME, options).parent
    if options.prefer_cached and not options.force_download:
        try:
            cached = replace(options, local_files_only=True, prefer_cached=False)
            found = _download_checkpoint(os.fspath(model), cached, use_safetensors, made_by)
        except ModelNotFound:
            pass
        else:
            if not with_preprocessor or (found / PREPROCESSOR_NAME).is_file():
                return found
    return _download_checkpoint(os.fspath(model), options, use_safetensors, made_by)


def _download_checkpoint(model: str, options: HubOptions, use_safetensors: bool | None, made_by: MadeBy | None) -> Path:
    config = _download_or_say_at_once(model, CONFIG_NAME, options)
    folder, commit = config.parent, config.parents[len(Path(options.subfolder).parts)].name
    # The other files come from the very same commit, also when the model is changed in between.
    options = replace(options, revision=commit)
    with suppress(_Unreachable):
        _download_optional(model, PREPROCESSOR_NAME, options)
    names = weight_names(use_safetensors, made_by)
    unreachable: _Unreachable | None = None
    for name in names:
        try:
            path = _download_optional(model, name, options)
        except _Unreachable as error:
            unreachable = unreachable or error
            continue  # the cache may have weights under another name
        if path is not None:
            if name.endswith(INDEX_ENDING):
                for shard in shard_names(path):
                    _download(model, shard, options)
            if made_by is None or weights_at(path).made_by == made_by:
                return folder
    if unreachable is not None:
        raise unreachable
    only = f" of {made_by!r}" if made_by else ""
    tried = f"{_tried(model, options)}: config.json is there, but no weights{only}"
    raise ModelNotFound(f"{tried} ({', '.join(names)}). {_ADVICE}")


def _download_optional(model: str, name: str, options: HubOptions) -> Path | None:
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return _download_or_say_at_once(model, name, options)
    except ModelNotFound as error:
        if isinstance(error.__cause__, EntryNotFoundError):
            return None
        raise


def _download_or_say_at_once(model: str, name: str, options: HubOptions) -> Path:
    """The local path of a file. Raises ModelNotFound, and where the hub can't be reached _Unreachable at once.

    huggingface_hub would try a file that is not in its cache seven times, for 23 seconds, with two lines in the log each.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    is_online = not (options.local_files_only or constants.HF_HUB_OFFLINE)
    try:
        path = f"{options.subfolder}/{name}" if options.subfolder else name
        cached = try_to_load_from_cache(model, path, cache_dir=options.cache_dir, revision=options.revision)
        if is_online and not isinstance(cached, str):
            url = hf_hub_url(model, path, revision=options.revision)
            get_hf_file_metadata(url, token=options.token, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except (HfHubHTTPError, ValueError):
        pass  # the hub has answered, or the name is none: the download says what is wrong
    except HTTPError as error:
        reason = f"{name} is not in the cache and {_UNREACHABLE} ({error or type(error).__name__})"
        raise _Unreachable(f"{_tried(model, options)}: {reason}. {_ADVICE}") from error
    return _download(model, name, options)


def _download(model: str, name: str, options: HubOptions) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, RevisionResolutionError

    try:
        path = hf_hub_download(
            model,
            name,
            revision=options.revision,
            cache_dir=options.cache_dir,
            token=options.token,
            local_files_only=options.local_files_only,
            force_download=options.force_download,
            subfolder=options.subfolder or None,
        )
    except (OSError, ValueError, EntryNotFoundError, HTTPError, RevisionResolutionError) as error:
        raise ModelNotFound(f"{_tried(model, options)}: {_reason(name, error)}. {_ADVICE}") from error
    return Path(path)


def _tried(model: str, options: HubOptions) -> str:
    from huggingface_hub import constants

    if options.local_files_only or constants.HF_HUB_OFFLINE:
        where = f"the cache {options.cache_dir or constants.HF_HUB_CACHE} (offline)"
    else:
        where = f"the hub {constants.ENDPOINT}"
    revision = f" at revision {options.revision}" if options.revision else ""
    return f"no model {model!r}: there is no folder of that name, and {where} was asked{revision}"


def _reason(name: str, error: Exception) -> str:
    from huggingface_hub import errors

    known = {
        errors.GatedRepoError: "the model is gated: accept its terms on its page and give a token",
        errors.RepositoryNotFoundError: "it knows no such model, or only for those who give a token",
        errors.RevisionNotFoundError: "it knows no such revision",
        errors.HFValidationError: "that is no valid model name",
        errors.LocalEntryNotFoundError: f"{name} is not in the cache and {_UNREACHABLE}",
        errors.EntryNotFoundError: f"it has no {name}",
    }
    for kind, reason in known.items():
        if isinstance(error, kind):
            return reason
    return f"{type(error).__name__}: {error}".splitlines()[0]
