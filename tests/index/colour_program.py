"""For programs that tests start: libraries in them have the mean-colour backbone and decode without worker processes."""

from __future__ import annotations

import index.open_space
from tests.index.conftest import ColourBackbone, InlineDecoder, _describe


def without_torch() -> None:
    """From now on libraries opened in this process need neither a network nor workers."""
    index.open_space.describe = _describe
    index.open_space.load_backbone = lambda description, device: ColourBackbone(description)
    index.open_space.Decoder = InlineDecoder  # type: ignore[misc]
