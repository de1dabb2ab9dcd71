"""For programs that tests start: libraries in them have the mean-colour backbone and decode without worker processes."""

from __future__ import annotations

import index.library
from tests.index.conftest import ColourBackbone, InlineDecoder, _describe


def without_torch() -> None:
    """From now on libraries opened in this process need neither a network nor workers."""
    index.library.describe = _describe
    index.library.load_backbone = lambda description, device: ColourBackbone(description)
    index.library.Decoder = InlineDecoder  # type: ignore[misc]
