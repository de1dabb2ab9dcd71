"""What two small pictures have to do with each other: the same pixels, an edit of one another and which, or nothing.

Thresholds were set on edits of one half of a folder of photographs; bench/duplicates.py reports on the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import atan2, degrees

import numpy as np
from PIL import Image

from index.align import Fit, inside_of, refined, whole_fit
from index.fingerprint import BLANK, GREY, ORIENTATIONS, oriented
from index.part_search import Searchable

SAME_PIXELS, EDITED = "same-pixels", "edited"
COMPARED_PX = 192  # long side
SQUEEZED = 32
CERTAIN = 0.97  # correlation of a fit that is not made better
IN_PLACE = 0.9  # of two pictures that are laid over each other as they are
AGREES = 0.70  # least correlation, without slow changes, of a picture and its edit
ROUGHLY = 0.55  # least plain correlation of two wholes that are looked at further
PART_ROUGHLY = 0.75  # and of a part and its place: 80 of 100 unrelated pictures have less, the least of edits had 0.85
LEAST_COMMON = 0.12  # of either picture's area
NOISE, WORST_NOISE = 5.5, 15.0  # grey levels by which means of 8 x 8 pixels differ: 99 of 100, and all
WHOLE, TILTED = 0.975, 0.93  # of the area that counts as all of it, of a level picture and of a tilted one
LEVEL = 0.7  # degrees
FLAT = 6.0  # grey levels from the colour of a border
TURNS = {  # what has to be done to the second picture, told as what was done to it
    (False, True, False): "mirrored",
    (False, False, True): "flipped top to bottom",
    (False, True, True): "turned by 180°",
    (True, True, False): "turned by 90° to the left",
    (True, False, True): "turned by 90° to the right",
    (True, False, False): "turned by 90° and mirrored",
    (True, True, True): "turned by 90° and mirrored",
}


@dataclass(frozen=True)
class Small:
    """A content's small picture, uint8 RGB (h, w, 3), with the facts that are compared."""

    pixels: np.ndarray
    grey: np.ndarray  # float32, long side at most COMPARED_PX
    squeezed: np.ndarray  # float32 (32, 32), mean 0
    width: int  # of the original
    height: int
    saved_as: str  # the original's format
    contrast: float
    colour: float

    @cached_property
    def ready(self) -> Searchable:
        """What is computed once for all its pairs."""
        return Searchable(self.grey)

    @classmethod
    def of(
        cls, picture: Image.Image, *, width: int, height: int, saved_as: str, contrast: float, colour: float
    ) -> Small:
        """From an upright RGB picture."""
        grey = picture.convert("L")
        squeezed = np.asarray(grey.resize((SQUEEZED, SQUEEZED), Image.Resampling.BOX), np.float32)
        grey.thumbnail((COMPARED_PX, COMPARED_PX), Image.Resampling.BOX)
        pixels = np.asarray(picture)
        compared = np.asarray(grey, np.float32)
        return cls(pixels, compared, squeezed - squeezed.mean(), width, height, saved_as, contrast, colour)


@dataclass(frozen=True)
class Relation:
    """What the second of two pictures is to the first."""

    kind: str
    words: str  # "mirrored, grey, resized to 50 %"
    first_share: float = 1.0  # of the first picture's area that the second shows
    second_share: float = 1.0
    in_place: bool = True  # the two agree as they lie, without being fitted
    turned: bool = False  # or mirrored


def related(first: Small, second: Small) -> Relation | None:
    """What the second is to the first, None where they are different pictures."""
    same = same_pixels(first, second)
    if same is not None:
        return same
    if min(first.contrast, second.contrast) < BLANK:
        return None  # whatever it is an edit of can't be seen
    found = _fit(first, second)
    if found is None:
        return None
    fit, turn = found
    shares = (
        fit.overlap,
        min(1.0, fit.overlap * abs(float(np.linalg.det(fit.matrix))) * first.grey.size / second.grey.size),
    )
    if min(shares) < LEAST_COMMON:
        return None
    # A border, or the corners of a tilted picture, is nothing that the other lacks.
    framed = _is_framed(first, second, fit, turn)
    shown = 1.0 if framed[0] else shares[0], 1.0 if framed[1] else shares[1]
    in_place = turn == ORIENTATIONS[0] and whole_fit(first.grey, second.grey).score >= IN_PLACE
    return Relation(EDITED, _edits(first, second, fit, turn, shares, framed), *shown, in_place, turn != ORIENTATIONS[0])


def same_pixels(first: Small, second: Small) -> Relation | None:
    """The same, None where their pixels differ."""
    return Relation(SAME_PIXELS, _kept_as(first, second)) if _same_pixels(first, second) else None


def similar(first: Small, second: Small) -> float:
    """The correlation of the two as wholes, a fifth of their sides to and fro allowed, -1 to 1: what a burst has."""
    from skimage.feature import match_template

    margin = SQUEEZED // 5
    inner = second.squeezed[margin:-margin, margin:-margin]
    if min(first.contrast, second.contrast) < BLANK:
        return 0.0
    return float(match_template(first.squeezed, inner).max())


def _same_pixels(first: Small, second: Small) -> bool:
    if (first.width, first.height) != (second.width, second.height) or first.pixels.shape != second.pixels.shape:
        return False
    height, width = (side // 8 * 8 for side in first.pixels.shape[:2])
    difference = first.pixels.astype(np.float32) - second.pixels
    if min(height, width) < 8:
        return float(np.abs(difference).max()) <= NOISE
    blocks = difference[:height, :width].reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3))
    return bool(np.percentile(np.abs(blocks), 99) <= NOISE and np.abs(blocks).max() <= WORST_NOISE)


def _fit(first: Small, second: Small) -> tuple[Fit, tuple[bool, bool, bool]] | None:
    """(where the first lies in the second once that is turned, how it is turned) where they agree."""
    lengths = max(float(np.linalg.norm(first.squeezed) * np.linalg.norm(second.squeezed)), 1e-6)
    agreement = [float((first.squeezed * oriented(second.squeezed, *turn)).sum()) / lengths for turn in ORIENTATIONS]
    turn = ORIENTATIONS[int(np.argmax(agreement))]
    turned = np.ascontiguousarray(oriented(second.grey, *turn))
    if max(agreement) >= ROUGHLY:
        whole = whole_fit(first.grey, turned)
        if whole.score >= CERTAIN:
            return whole, turn
        best = _best([(whole, turn), (refined(first.grey, turned, whole), turn)])
        if best is not None:
            return best
    return _best(_part_fits(first, second))


def _part_fits(first: Small, second: Small) -> list[tuple[Fit | None, tuple[bool, bool, bool]]]:
    """The likeliest place of either picture as a part of the other, as it is or mirrored."""
    rough = [
        (_mirrored_back(fit, first, second) if mirrored else fit, mirrored)
        for fit, mirrored in second.ready.holds(first.ready)
    ]
    rough += [(inverse(fit), mirrored) for fit, mirrored in first.ready.holds(second.ready)]
    if not rough:
        return []
    fit, mirrored = max(rough, key=lambda one: one[0].score)
    turn = (False, mirrored, False)
    turned = np.ascontiguousarray(oriented(second.grey, *turn))
    return [(refined(first.grey, turned, fit), turn)] if fit.score >= PART_ROUGHLY else []


def _mirrored_back(fit: Fit, first: Small, second: Small) -> Fit:
    """From the mirrored first picture in the second as it is: the first as it is in the mirrored second."""
    widths = np.array([first.grey.shape[1], second.grey.shape[1]]) - 1
    shift = np.array([widths[1] - fit.matrix[0, 0] * widths[0] - fit.shift[0], fit.shift[1]])
    return Fit(fit.matrix, shift, fit.score, fit.overlap)


def inverse(fit: Fit) -> Fit:
    """The fit that leads back; its score and overlap are to be judged anew."""
    matrix = np.linalg.inv(fit.matrix)
    return Fit(matrix, -matrix @ fit.shift, fit.score, fit.overlap)


def _best(
    fits: list[tuple[Fit | None, tuple[bool, bool, bool]]],
) -> tuple[Fit, tuple[bool, bool, bool]] | None:
    good = [(fit, turn) for fit, turn in fits if fit is not None and fit.score >= AGREES]
    return max(good, key=lambda one: one[0].score, default=None)


def _edits(
    first: Small,
    second: Small,
    fit: Fit,
    turn: tuple[bool, bool, bool],
    shares: tuple[float, float],
    framed: tuple[bool, bool],
) -> str:
    """What was done to the first picture to make the second, in words."""
    done = [TURNS[turn]] if turn in TURNS else []
    angle = degrees(atan2(fit.matrix[1, 0] - fit.matrix[0, 1], fit.matrix[0, 0] + fit.matrix[1, 1]))
    if abs(angle) > LEVEL:
        done.append(f"tilted by {abs(angle):.0f}°")
    whole_second = WHOLE if abs(angle) <= LEVEL else TILTED  # a tilted picture has empty corners
    if max(shares) < WHOLE and shares[1] < whole_second and not any(framed):
        done.append(f"another part, {shares[0]:.0%} of this one in common")
    elif shares[0] < WHOLE:
        done.append("without its border" if framed[0] else f"cropped to {shares[0]:.0%} of the picture")
    if shares[1] < whole_second and (shares[0] >= WHOLE or any(framed)):
        done.append("with a border" if framed[1] else "with more of the picture")
    done += _resized(first, second, fit, turn, shares)
    if (first.colour < GREY) != (second.colour < GREY):
        done.append("grey" if second.colour < GREY else "in colour")
    done += _lightened(fit, first)
    return ", ".join(done) or "retouched or compressed"


def _is_framed(first: Small, second: Small, fit: Fit, turn: tuple[bool, bool, bool]) -> tuple[bool, bool]:
    """Whether what the first, and the second, has more than the other is of one colour."""
    turned = oriented(second.grey, *turn)
    back = inverse(fit)
    outside = (
        first.grey[~inside_of(turned.shape, fit.matrix, fit.shift, first.grey.shape)],
        turned[~inside_of(first.grey.shape, back.matrix, back.shift, turned.shape)],
    )
    # The rim of a frame is mixed with the picture by making it small.
    flat = [len(one) > 0 and np.mean(np.abs(one - np.median(one)) < FLAT) > 0.8 for one in outside]
    return bool(flat[0]), bool(flat[1])


def _resized(
    first: Small, second: Small, fit: Fit, turn: tuple[bool, bool, bool], shares: tuple[float, float]
) -> list[str]:
    sides = (second.height, second.width) if turn[0] else (second.width, second.height)
    if min(shares) >= WHOLE:
        across, down = sides[0] / first.width, sides[1] / first.height
    else:
        # Pixels of the small pictures into pixels of the originals.
        zoomed = second.grey.shape[:: 1 if turn[0] else -1]
        zooms = sides[0] / zoomed[0], sides[1] / zoomed[1]
        across = float(np.linalg.norm(fit.matrix[:, 0])) * zooms[0] * first.grey.shape[1] / first.width
        down = float(np.linalg.norm(fit.matrix[:, 1])) * zooms[1] * first.grey.shape[0] / first.height
    ratio = (across * down) ** 0.5
    words = [f"resized to {ratio:.0%}"] if abs(ratio - 1) > 0.03 else []
    return [*words, "stretched"] if not 0.95 < across / down < 1.05 else words


def _lightened(fit: Fit, first: Small) -> list[str]:
    change = (fit.gain - 1) * float(first.grey.mean()) + fit.offset
    words = []
    if abs(change) > 8:
        words.append("brighter" if change > 0 else "darker")
    # Making a picture brighter by a factor raises its contrast too, and leaves black as it was.
    if abs(fit.gain - 1) > 0.12 and not (words and abs(fit.offset) < 10):
        words.append("more contrast" if fit.gain > 1 else "less contrast")
    return words


def _kept_as(first: Small, second: Small) -> str:
    return "saved again" if first.saved_as == second.saved_as else f"saved as {second.saved_as}"
