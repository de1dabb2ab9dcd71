"""Library: catalogue, shards, thumbnails, vectors and backbone of one folder, opened together."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from index.decode import Decoder
from index.errors import ModelMismatch, NoLibrary
from index.indexes import Indexes
from index.place import must_be_free, must_be_writable, no_place
from index.stored import Stored
from index.vectors import VectorIndex
from regconv.backbone import Backbone, ModelDescription, describe, load_backbone
from storage.catalog import Catalog
from storage.database import sqlite_url
from storage.shards import ShardStore, shard_dtype
from storage.thumbnails import ThumbnailStore

if TYPE_CHECKING:
    from typing import Self

DEFAULT_MODEL = "facebook/convnext-tiny-224"
MAKE_ONE = "Make one: python app.py index FOLDER --library"
SWITCH = "(`switch-model`, which changes a library over in place, comes with a later version.)"


@dataclass(frozen=True)
class SpaceFacts:
    """What a search needs to know of the library's space: readable without the model."""

    parts: tuple[tuple[str, int], ...]
    pooled: str  # the part that a search asks by default
    labels: Mapping[int, str]
    note: str | None  # what the checkpoint says of itself, e.g. that its weights are random

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the space's shards."""
        return shard_dtype(self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names, stages first."""
        return tuple(name for name, _ in self.parts)


class Library:
    """One photo library. Reading verbs may be used from several threads; one job at a time changes it."""

    def __init__(self, folder: Path, catalog: Catalog, model: str, device: str) -> None:
        self.folder = folder
        self.catalog = catalog
        self.model = model
        self.device = device
        self.shards = ShardStore(folder / "shards")
        self.thumbnails = ThumbnailStore(folder / "thumbnails")
        self.cache = folder / "cache"
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        database: str | None = None,
        model: str | None = None,
        device: str = "auto",
        create: bool = False,
    ) -> Library:
        """The library in a folder; with `create`, a new one where there is none yet.

        Raises NoLibrary, ModelMismatch where `model` is not the library's own, and what describing a new model raises.
        """
        folder = Path(folder).expanduser().absolute()
        file = folder / "catalog.sqlite"
        if create and database is None and not file.exists():
            must_be_free(folder)
        asked = None if model is None else _model_name(model)
        if database is None and not file.exists():
            if not create:
                raise NoLibrary(f"There is no library in {folder}. {MAKE_ONE} {folder}")
            must_be_writable(folder)  # first what is quick: describing may be a download
            describe(asked or DEFAULT_MODEL)  # a model that can't be had must not leave half a library behind
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_place(folder, error.strerror) from error
        catalog = Catalog(database or sqlite_url(file))
        try:
            own = catalog.setting("model")
            if own is None and not create:
                raise NoLibrary(f"The library in {folder} is empty. {MAKE_ONE} {folder}")
            if own is not None and asked is not None and asked != own:
                raise ModelMismatch(
                    f"The library in {folder} was made with the model {own}, not {asked}: their vectors can't be compared. "
                    f"Leave --model out or use another --library. {SWITCH}"
                )
            library = cls(folder, catalog, own or asked or DEFAULT_MODEL, device)
            if own is None:
                must_be_free(folder)
                library._settle()
        except BaseException:
            catalog.close()
            raise
        return library

    def close(self) -> None:
        """Stop the workers and give the database back."""
        if "decoder" in self.__dict__:
            self.decoder.close()
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # the model

    @cached_property
    def space_id(self) -> int:
        """The space in which this library's vectors are compared."""
        return int(self.catalog.setting("space") or 0)

    @cached_property
    def space(self) -> SpaceFacts:
        """What the catalogue keeps of the space."""
        facts = self.catalog.space(self.space_id)[2]
        return SpaceFacts(
            tuple((name, width) for name, width in facts["parts"]),
            facts["pooled"],
            {int(index): label for index, label in facts["labels"].items()},
            facts["note"],
        )

    @cached_property
    def description(self) -> ModelDescription:
        """The model as its files are now. Raises ModelMismatch where they no longer make the library's vectors."""
        description = self._describe()
        key, _, facts = self.catalog.space(self.space_id)
        if description.space != key:
            differs = [name for name, value in _facts(description).items() if facts.get(name) != value]
            raise ModelMismatch(
                f"The model {self.model} is not what it was when this library was made ({', '.join(differs) or 'its settings'} "
                f"changed): new vectors could not be compared with the old. Put the old files or versions back. {SWITCH}"
            )
        return description

    @cached_property
    def backbone(self) -> Backbone:
        """The network, loaded when first asked for."""
        with (
            self._lock
        ):  # two threads that ask at once get one network: from Python 3.12 on cached_property has no lock
            if "backbone" not in self.__dict__:
                self.__dict__["backbone"] = load_backbone(self.description, self.device)
            backbone: Backbone = self.__dict__["backbone"]
            return backbone

    @cached_property
    def embedder(self) -> Backbone:
        """The network as jobs use it: on a GPU in half precision, where its vectors are as good (`load_backbone`)."""
        with self._lock:
            if "embedder" not in self.__dict__:
                on_cpu = self.backbone.device == "cpu"
                half = None if on_cpu else load_backbone(self.description, self.device, "half")
                self.__dict__["embedder"] = half or self.backbone
            embedder: Backbone = self.__dict__["embedder"]
            return embedder

    @cached_property
    def decoder(self) -> Decoder:
        """The worker processes that read pictures, started when first used."""
        with self._lock:
            if "decoder" not in self.__dict__:
                self.__dict__["decoder"] = Decoder(self.description.recipe)
            decoder: Decoder = self.__dict__["decoder"]
            return decoder

    def label(self, index: int) -> str:
        """A label's words."""
        return self.space.labels.get(index, f"label {index}")

    def _describe(self) -> ModelDescription:
        with suppress(OSError):
            self.cache.mkdir(exist_ok=True)
        # Of a library that can only be read the weights are hashed anew.
        can_keep = os.access(self.cache, os.W_OK)
        return describe(self.model, digest_cache=self.cache / "weights.json" if can_keep else None)

    def _settle(self) -> None:
        """Give a new library its model for good."""
        description = self._describe()
        space_id = self.catalog.space_id(description.space, self.model, _facts(description))
        self.catalog.remember("space", str(space_id))
        self.catalog.remember("model", self.model)

    # vectors

    @cached_property
    def indexes(self) -> Indexes:
        """What can be searched, a part each."""
        with self._lock:
            if "indexes" not in self.__dict__:
                stored = Stored(self.catalog, self.shards, self.space_id, self.space.dtype)
                self.__dict__["indexes"] = Indexes(stored, dict(self.space.parts), self.cache)
            indexes: Indexes = self.__dict__["indexes"]
            return indexes

    @property
    def vectors(self) -> Stored:
        """The stored vectors by content id."""
        return self.indexes.stored

    def index(self, part: str) -> VectorIndex:
        """The index of one part, with every vector that the catalogue has now."""
        return self.indexes.of(part)

    def stored(self, contents: Collection[int], part: str) -> dict[int, np.ndarray]:
        """The stored vector, float32 (width,), of each of these contents that has one."""
        self.vectors.refresh()
        asked = np.array(sorted(contents), np.int64)
        known, vectors = self.vectors.of(asked, part)
        return dict(zip(asked[known].tolist(), vectors[known], strict=True))


def _model_name(model: str) -> str:
    """A hub name as it is, a folder as its absolute path: a library may be opened from anywhere."""
    return str(Path(model).expanduser().absolute()) if Path(model).expanduser().is_dir() else model


def _facts(description: ModelDescription) -> dict[str, Any]:
    """What the catalogue keeps of a space, as JSON has it."""
    return {
        "parts": [[name, width] for name, width in description.parts],
        "pooled": description.pooled,
        "labels": {str(index): label for index, label in description.labels.items()},
        "note": description.note,
        "preprocessing": description.preprocessing,
        "weights": description.weights_digest,
    }
