"""Library: catalogue, shards, thumbnails, vectors and backbone of one folder, opened together."""

from __future__ import annotations

import os
import shlex
import threading
import weakref
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from index.decode import Decoder
from index.errors import ModelMismatch, NoLibrary
from index.indexes import Indexes
from index.place import must_be_free, must_be_writable, no_place
from index.space_facts import SpaceFacts, facts_of
from index.stored import Stored
from index.vectors import VectorIndex
from regconv.backbone import Backbone, ModelDescription, describe, load_backbone
from regconv.images import Recipe
from storage.catalog import Catalog
from storage.database import sqlite_url
from storage.shards import ShardStore
from storage.thumbnails import ThumbnailStore

if TYPE_CHECKING:
    from typing import Self

DEFAULT_MODEL = "facebook/convnext-tiny-224"
MAKE_ONE = "Make one: python app.py index FOLDER --library"


class _Shared:
    """What every handle on one library's folder shares, whatever the space."""

    def __init__(self, folder: Path, catalog: Catalog, device: str) -> None:
        self.folder = folder
        self.catalog = catalog
        self.device = device
        self.shards = ShardStore(folder / "shards")
        self.thumbnails = ThumbnailStore(folder / "thumbnails")
        self.cache = folder / "cache"
        self.lock = threading.RLock()
        self._workers: Decoder | None = None

    def describe(self, model: str) -> ModelDescription:
        """A model as its files are now."""
        with suppress(OSError):
            self.cache.mkdir(exist_ok=True)
        # Of a library that can only be read the weights are hashed anew.
        can_keep = os.access(self.cache, os.W_OK)
        return describe(model, digest_cache=self.cache / "weights.json" if can_keep else None)

    def decoder(self, recipe: Recipe) -> Decoder:
        """The worker processes that read pictures, the same for all recipes, started when first used."""
        with self.lock:
            if self._workers is None:
                self._workers = Decoder(recipe)
            return self._workers.with_recipe(recipe)

    def close(self) -> None:
        """Stop the workers and give the database back."""
        if self._workers is not None:
            self._workers.close()
        self.catalog.close()


class OpenSpace:
    """A space as this process holds it: facts, network, indexes. It never becomes another space."""

    def __init__(self, shared: _Shared, space_id: int, model: str) -> None:
        self.shared = shared
        self.space_id = space_id
        self.model = model
        self.lock = threading.RLock()

    @cached_property
    def space(self) -> SpaceFacts:
        """What the catalogue keeps of the space."""
        key, _, facts = self.shared.catalog.space(self.space_id)
        return SpaceFacts(
            key,
            tuple((name, width) for name, width in facts["parts"]),
            facts["pooled"],
            {int(index): label for index, label in facts["labels"].items()},
            facts["note"],
        )

    @cached_property
    def description(self) -> ModelDescription:
        """The model as its files are now. Raises ModelMismatch where they no longer make the space's vectors."""
        description = self.shared.describe(self.model)
        key, _, facts = self.shared.catalog.space(self.space_id)
        if description.space != key:
            differs = [name for name, value in facts_of(description).items() if facts.get(name) != value]
            raise ModelMismatch(
                f"The model {self.model} is not what it was when this library was made ({', '.join(differs) or 'its settings'} "
                f"changed): new vectors could not be compared with the old. Put the old files or versions back, or have "
                f"{switch_command(self.shared.folder, self.model)} make all vectors anew, while the old ones answer."
            )
        return description

    @cached_property
    def backbone(self) -> Backbone:
        """The network, loaded when first asked for."""
        with self.lock:  # two threads that ask at once get one network: from Python 3.12 on cached_property has no lock
            if "backbone" not in self.__dict__:
                self.__dict__["backbone"] = load_backbone(self.description, self.shared.device)
            backbone: Backbone = self.__dict__["backbone"]
            return backbone

    @cached_property
    def embedder(self) -> Backbone:
        """The network as jobs use it: on a GPU in half precision, where its vectors are as good (`load_backbone`)."""
        with self.lock:
            if "embedder" not in self.__dict__:
                on_cpu = self.backbone.device == "cpu"
                half = None if on_cpu else load_backbone(self.description, self.shared.device, "half")
                self.__dict__["embedder"] = half or self.backbone
            embedder: Backbone = self.__dict__["embedder"]
            return embedder

    @cached_property
    def decoder(self) -> Decoder:
        """The worker processes, making pictures as this space's model wants them."""
        return self.shared.decoder(self.description.recipe)

    @cached_property
    def indexes(self) -> Indexes:
        """What can be searched, a part each."""
        with self.lock:
            if "indexes" not in self.__dict__:
                shared = self.shared
                stored = Stored(shared.catalog, shared.shards, self.space_id, self.space.dtype)
                self.__dict__["indexes"] = Indexes(stored, dict(self.space.parts), shared.cache, self.space.pooled)
            indexes: Indexes = self.__dict__["indexes"]
            return indexes


class Library:
    """One photo library. Reading verbs may be used from several threads; one job at a time changes it.

    It stays with the space that answered when it was opened until `follow` is called.
    """

    def __init__(self, shared: _Shared, opened: OpenSpace, origin: Library | None = None) -> None:
        self.opened = opened
        self.folder, self.catalog, self.device = shared.folder, shared.catalog, shared.device
        self.shards, self.thumbnails, self.cache = shared.shards, shared.thumbnails, shared.cache
        self._shared = shared
        self._origin = origin or self
        self._shadow: weakref.ref[OpenSpace] | None = None

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
            shared, active = _Shared(folder, catalog, device), catalog.active()
            own = None if active is None else active[1]
            if own is None and not create:
                raise NoLibrary(f"The library in {folder} is empty. {MAKE_ONE} {folder}")
            if own is not None and asked is not None and asked != own:
                raise ModelMismatch(
                    f"The library in {folder} was made with the model {own}, not {asked}: their vectors can't be compared. "
                    f"Leave --model out, use another --library, or change this one over: {switch_command(folder, asked)}"
                )
            if active is None:
                must_be_free(folder)
                active = _settled(shared, asked or DEFAULT_MODEL)
        except BaseException:
            catalog.close()
            raise
        return cls(shared, OpenSpace(shared, *active))

    def close(self) -> None:
        """Stop the workers and give the database back."""
        if self._origin is self:
            self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # the space

    def follow(self) -> Library:
        """The library with the space that answers now, which another process may have switched; a handle for one answer or job.

        The handle stays with its space whatever happens meanwhile. The library itself goes along from here on.
        """
        origin = self._origin
        with self._shared.lock:
            active = self.catalog.active()
            if active is not None and active != (origin.opened.space_id, origin.opened.model):
                beside = None if origin._shadow is None else origin._shadow()  # loaded, where this process switches
                if beside is None or (beside.space_id, beside.model) != active:
                    beside = OpenSpace(self._shared, *active)
                origin.opened = beside
            return Library(self._shared, origin.opened, origin)

    def described(self, model: str) -> ModelDescription:
        """Any model as its files are now, by its name or folder. Raises what `describe` raises."""
        return self._shared.describe(_model_name(model))

    def shadow(self, description: ModelDescription) -> Library:
        """The same folder and catalogue with a model's own space, new or known, while this library goes on answering."""
        origin = self._origin
        space_id = self.catalog.space_id(description.space, description.name, facts_of(description))
        if (space_id, description.name) == (origin.opened.space_id, origin.opened.model):
            return Library(self._shared, origin.opened, origin)
        opened = OpenSpace(self._shared, space_id, description.name)
        opened.__dict__["description"] = description
        origin._shadow = weakref.ref(opened)
        return Library(self._shared, opened, origin)

    @property
    def model(self) -> str:
        """The model's hub name or folder."""
        return self.opened.model

    @property
    def space_id(self) -> int:
        """The space in which this library's vectors are compared."""
        return self.opened.space_id

    @property
    def space(self) -> SpaceFacts:
        """What the catalogue keeps of the space."""
        return self.opened.space

    @property
    def description(self) -> ModelDescription:
        """The model as its files are now. Raises ModelMismatch where they no longer make the library's vectors."""
        return self.opened.description

    @property
    def backbone(self) -> Backbone:
        """The network, loaded when first asked for."""
        return self.opened.backbone

    @property
    def embedder(self) -> Backbone:
        """The network as jobs use it: on a GPU in half precision, where its vectors are as good (`load_backbone`)."""
        return self.opened.embedder

    @property
    def decoder(self) -> Decoder:
        """The worker processes that read pictures, started when first used."""
        return self.opened.decoder

    def label(self, index: int) -> str:
        """A label's words."""
        return self.space.labels.get(index, f"label {index}")

    # vectors

    @property
    def indexes(self) -> Indexes:
        """What can be searched, a part each."""
        return self.opened.indexes

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


def switch_command(folder: Path, model: str) -> str:
    """What to type to change a library over to a model."""
    return f"`python app.py switch-model {shlex.quote(model)} --library {shlex.quote(str(folder))}`"


def _settled(shared: _Shared, model: str) -> tuple[int, str]:
    """A new library has its model: (space id, model)."""
    description = shared.describe(model)
    space_id = shared.catalog.space_id(description.space, model, facts_of(description))
    shared.catalog.remember("space", str(space_id))
    shared.catalog.remember("model", model)
    return space_id, model
