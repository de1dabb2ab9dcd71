"""Library: catalogue, shards, thumbnails, vectors and backbone of one folder, opened together."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from index import open_space
from index.decode import Decoder
from index.errors import LibraryError, ModelMismatch, NoLibrary
from index.indexes import Indexes
from index.open_space import OpenSpace, Shared, switch_command
from index.place import must_be_free, must_be_writable, no_place
from index.space_facts import SpaceFacts, facts_of
from index.stored import Stored
from index.vectors import VectorIndex
from regconv.backbone import Backbone, ModelDescription
from storage import jobs
from storage.catalog import Catalog
from storage.database import sqlite_url
from storage.errors import JobRunning, ReadOnly

if TYPE_CHECKING:
    from typing import Self

log = logging.getLogger(__name__)
DEFAULT_MODEL = "facebook/convnext-tiny-224"
MAKE_ONE = "Make one: python app.py index FOLDER --library"


class Library:
    """One photo library. Reading verbs may be used from several threads; one job at a time changes it.

    It stays with the space that answered when it was opened until `follow` is called.
    """

    def __init__(self, shared: Shared, opened: OpenSpace, origin: Library | None = None) -> None:
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
            open_space.describe(
                asked or DEFAULT_MODEL
            )  # a model that can't be had must not leave half a library behind
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_place(folder, error.strerror) from error
        catalog = Catalog(database or sqlite_url(file))
        try:
            shared, active = Shared(folder, catalog, device), catalog.active()
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

    def keep_indexes(self) -> bool:
        """Save what a search had to build, so that the next start need not; whether that was done.

        Not where a job is at work, which does so itself, nor in a library that can only be read. Small ones are built in no time.
        """
        if not self.indexes.is_worth_saving:
            return False
        try:
            job_id = self.catalog.start_job("keep", [])
        except (JobRunning, ReadOnly):
            return False
        state = jobs.FAILED
        try:
            if self.catalog.active() == (self.space_id, self.model):  # not switched meanwhile, and perhaps given up
                self.indexes.save()
                state = jobs.DONE
        except LibraryError:
            log.info("The indexes could not be kept.", exc_info=True)  # an answer is no worse for it
        finally:
            self.catalog.finish_job(job_id, state)
        return state == jobs.DONE

    def stored(self, contents: Collection[int], part: str) -> dict[int, np.ndarray]:
        """The stored vector, float32 (width,), of each of these contents that has one."""
        self.vectors.refresh()
        asked = np.array(sorted(contents), np.int64)
        known, vectors = self.vectors.of(asked, part)
        return dict(zip(asked[known].tolist(), vectors[known], strict=True))


def _model_name(model: str) -> str:
    """A hub name as it is, a folder as its absolute path: a library may be opened from anywhere."""
    return str(Path(model).expanduser().absolute()) if Path(model).expanduser().is_dir() else model


def _settled(shared: Shared, model: str) -> tuple[int, str]:
    """A new library has its model: (space id, model)."""
    description = shared.describe(model)
    space_id = shared.catalog.space_id(description.space, model, facts_of(description))
    shared.catalog.remember("space", str(space_id))
    shared.catalog.remember("model", model)
    return space_id, model
