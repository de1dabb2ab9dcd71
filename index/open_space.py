"""A space as a process holds it: what is loaded of one model, and what all spaces of a library share."""

from __future__ import annotations

import os
import shlex
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from index.decode import Decoder
from index.errors import LibraryError, ModelMismatch
from index.indexes import Indexes
from index.space_facts import SpaceFacts, facts_of
from index.stored import Stored
from regconv.backbone import Backbone, ModelDescription, describe, load_backbone
from regconv.errors import RegconvError
from regconv.images import Recipe
from storage.catalog import Catalog
from storage.shards import ShardStore
from storage.spaces import PREVIOUS
from storage.thumbnails import ThumbnailStore


class Shared:
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

    def __init__(self, shared: Shared, space_id: int, model: str) -> None:
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
        try:
            description = self.shared.describe(self.model)
        except RegconvError as error:
            back = " `switch-model --back` returns to the model before it." * bool(
                self.shared.catalog.setting(PREVIOUS)
            )
            raise LibraryError(
                f"The model of the library in {self.shared.folder} can't be had: {error} Put it back where it was, or let "
                f"{switch_command(self.shared.folder, 'NAME')} change the library over to another.{back}"
            ) from error
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


def switch_command(folder: Path, model: str) -> str:
    """What to type to change a library over to a model."""
    return f"`python app.py switch-model {shlex.quote(model)} --library {shlex.quote(str(folder))}`"
