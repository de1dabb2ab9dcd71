"""A second model beside the mean colours of conftest.py: other widths, another size of pictures, other labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from index.library import Library
from index.search import example_of_photo, find_similar
from index.switch import switch_model
from regconv.backbone import Parts
from regconv.errors import ModelNotFound
from regconv.images import Recipe
from tests.index.conftest import ColourBackbone, _describe

GREY, MISSING = "grey", "no such model"


class GreyBackbone(ColourBackbone):
    """Each part is the mean colour, blue first, with its brightness as a fourth number. Both are zero of a black picture."""

    def embed(self, pictures: np.ndarray) -> Parts:
        parts = super().embed(pictures)
        vectors, norms = {}, {}
        for name in parts.names:
            colours = parts.vectors[name][:, ::-1] * parts.norms[name][:, None]
            raw = np.concatenate([colours, colours.mean(axis=1, keepdims=True)], axis=1)
            norms[name] = np.linalg.norm(raw, axis=1)
            vectors[name] = (raw / np.maximum(norms[name], 1e-12)[:, None]).astype(np.float32)
        return replace(parts, vectors=vectors, norms=norms)


def describe(model: str, *, digest_cache: Path | None = None) -> Any:
    """conftest's description; of GREY its own; MISSING can't be had."""
    if model == MISSING:
        raise ModelNotFound(f"there is no model {model}")
    description = _describe(model, digest_cache=digest_cache)
    if model != GREY:
        return description
    changes = {"recipe": Recipe(size=16, crop_pct=0.875, resample=2), "parts": (("stage1", 4), ("stage2", 4))}
    return SimpleNamespace(**vars(description) | changes | {"labels": {0: "dull", 1: "bright"}})


def load_backbone(description: Any, device: str) -> ColourBackbone:
    """The backbone of either."""
    return (GreyBackbone if description.name == GREY else ColourBackbone)(description)


def switch(library: Library, model: str = GREY, **options: Any) -> dict[str, Any]:
    """The report of a change of model."""
    *_, last = switch_model(library, model, **options)
    assert last.report is not None
    return last.report


def nearest(library: Library, name: str, k: int = 2) -> list[str]:
    """Names of the photos nearest to one of the library, itself among them."""
    photo = next(photo for photo in library.catalog.photos_in("present", 99) if Path(photo.path).stem == name)
    found = find_similar(library, [example_of_photo(library, photo.id)], k=k).neighbours
    return [Path(each.photo.path).stem for each in found]
