"""The checkpoints that the hub has under facebook/ for these networks, by name.

Source: the conversion scripts of transformers; widths and parameters of each are held by tests.
"""

from __future__ import annotations

REGNET_X = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
SEER = ("320-seer", "640-seer", "1280-seer", "10b-seer")
CONVNEXT_PLAIN = ("tiny-224", "small-224", "base-224", "base-384", "large-224", "large-384")
CONVNEXT_22K = ("224-22k", "224-22k-1k", "384-22k-1k")
CONVNEXTV2_SIZES = ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
# Further than ImageNet-1k at 224 pixels; all of these were tuned to the 1000 labels again.
CONVNEXTV2_22K = {
    "22k-224": ("nano", "tiny", "base", "large"),
    "22k-384": ("nano", "tiny", "base", "large", "huge"),
    "22k-512": ("huge",),
}

PUBLISHED: dict[str, str] = {
    **{f"facebook/regnet-x-{size}": "regnet" for size in REGNET_X},
    **{f"facebook/regnet-y-{size}": "regnet" for size in REGNET_X},
    **{f"facebook/regnet-y-{name}{head}": "regnet" for name in SEER for head in ("", "-in1k")},
    **{f"facebook/convnext-{name}": "convnext" for name in CONVNEXT_PLAIN},
    **{f"facebook/convnext-{size}-{kind}": "convnext" for size in ("base", "large", "xlarge") for kind in CONVNEXT_22K},
    **{f"facebook/convnextv2-{size}-1k-224": "convnextv2" for size in CONVNEXTV2_SIZES},
    **{f"facebook/convnextv2-{size}-{kind}": "convnextv2" for kind, sizes in CONVNEXTV2_22K.items() for size in sizes},
}


def is_cached(name: str) -> bool:
    """Whether the hub's cache on this machine has this model's configuration."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)
