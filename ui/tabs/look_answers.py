"""What the Look tab shows of a query: its answer, what the network sees of its first picture, its address, its controls."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from ui import handlers
from ui.address import Visit, address_of, shown_moment
from ui.context import PageContext
from ui.handlers import LookResult
from ui.markup import problem
from ui.search_handlers import PAGE, Ask, Found, Pick, search
from ui.tabs import found_markup, look_markup
from ui.tabs.look_markup import ShownPick
from ui.tabs.look_parts import (
    BROWSERS_SHOW,
    DIAL,
    MIX,
    LookParts,
    Picture,
    Step,
    View,
    first_of,
    slider_of,
    small_source,
)

TO_TRY = 12  # photos of the library, before the first query
VIEW_PX = 720  # of the picture that is looked at: it is shown about half so large, screens may have two pixels for one
STEPS = 10  # queries that are shown to go back to

Shown = dict[Any, Any]  # component -> what it shows now


class LookAnswers:
    """What the components show, with the library at hand; what stays is left out."""

    at: LookParts

    def __init__(self, context: PageContext) -> None:
        self.library = context.library
        self.uploads = Path(get_upload_folder())

    def show(self, ask: Ask, trail: list[Step], picture: Picture, tab: str = "look") -> Shown:
        """The answer to a query; what the network sees only where another `picture` is shown."""
        at, first = self.at, first_of(ask)
        shown: Shown = {at.ask: ask, at.trouble: "", at.said: "", at.taught: ""}
        known = {}
        if first != picture:
            result = self._look(first)
            if result is not None and result.example is None:
                return self._refused(result)
            shown |= self._seen(first, result)
            if result is not None and result.example is not None and isinstance(first, str):
                known = {first: result.example}
        found = search(self.library, ask, known) if ask.pictures or ask.words else None
        title = self._title(ask)
        trail = self._trail(ask, trail, title)
        shown |= {
            at.trail: trail,
            at.steps: look_markup.trail([(step.address, step.title, step.source) for step in trail], is_over=not title),
            at.picks: self._picks(ask),
            at.found: self.nothing_yet() if found is None else self._found(found, ask, title, is_first=len(trail) == 1),
            at.address: look_markup.address(address_of(Visit(ask, tab), self.uploads)),
        }
        return shown

    def dates(self, wrong: Mapping[str, str]) -> Shown:
        """What is no date, in words, at the fields where it stands: they are opened for it."""
        said: Shown = {self.at.dates: look_markup.wrong_dates(wrong)}
        return said | {self.at.filters: gr.Accordion(open=True)} if wrong else said

    def mix_of(self, view: View, names: Sequence[str]) -> Shown:
        """The sliders of one's own mix, where they are shown, named as the parts are now: the model may be another one since."""
        if not view.controls or view.controls[0] != MIX:
            return {}
        return {slider: gr.Slider(**slider_of(names, number)) for number, slider in enumerate(self.at.mix)}

    def nothing_yet(self) -> str:
        """What stands in the place of an answer before there is a query."""
        photos = handlers.photos_to_try(self.library, TO_TRY)
        if not photos:
            may_begin = not self.library.catalog.is_read_only
            return found_markup.nothing_yet([], None, handlers.EMPTY_LIBRARY, may_begin=may_begin)
        return found_markup.nothing_yet(photos, handlers.word_to_try(self.library, photos), None)

    def no_stages(self) -> str:
        names = [name.replace("stage", "stage ") for name in self.library.space.names if name.startswith("stage")]
        return look_markup.stages(None, ["input", "stem", *names])

    def address_in(self, tab: str, ask: Ask) -> str:
        """The address of the query in another tab."""
        return look_markup.address(address_of(Visit(ask, tab), self.uploads))

    def _look(self, picture: str | int | None) -> LookResult | None:
        if picture is None:
            return None
        if isinstance(picture, int):
            return handlers.look_at_photo(self.library, picture, k=0)
        return handlers.look_at_upload(self.library, picture, k=0)

    def _seen(self, picture: str | int | None, result: LookResult | None) -> Shown:
        at = self.at
        return {
            at.picture: picture,
            at.query: self._view(picture, result),
            at.add: gr.UploadButton(interactive=picture is not None),
            at.labels: look_markup.labels(result),
            at.own: "" if result is None else look_markup.own_labels(result.own),
            at.lesson: gr.Group(visible=isinstance(picture, int)),
            at.stages: self.no_stages() if result is None else look_markup.stages(result),
        }

    def _view(self, picture: str | int | None, result: LookResult | None) -> Any:
        """The picture itself, as a browser can show it: of a TIFF or HEIC what the network saw."""
        if picture is None or result is None:
            return None
        if isinstance(picture, int):
            view = handlers.view_of_photo(self.library, picture, VIEW_PX)
            return None if view is None else Image.open(io.BytesIO(view))
        if picture.lower().endswith(BROWSERS_SHOW):
            return picture
        return None if result.saw is None else Image.fromarray(result.saw)

    def _refused(self, result: LookResult) -> Shown:
        """As before the first picture, with the reason where the picture would be; the trail stays to go back."""
        at, nothing = self.at, Ask()
        shown = {
            at.ask: nothing,
            at.trouble: problem(result.problem),
            at.said: "",
            at.picks: "",
            at.found: self.nothing_yet(),
        }
        return shown | self._seen(None, None) | {at.address: look_markup.address(""), at.taught: ""}

    def _found(self, found: Found, ask: Ask, title: str, *, is_first: bool) -> str:
        heading = f"Photos like {title}" if ask.pictures else f"Photos called {title}"
        return found_markup.found_photos(
            found, heading, ask.start // PAGE, has_picture=bool(ask.pictures), is_first=is_first
        )

    def _picks(self, ask: Ask) -> str:
        return look_markup.picks([self._shown_pick(pick) for pick in ask.pictures])

    def _shown_pick(self, pick: Pick) -> ShownPick:
        return ShownPick(self._name(pick.picture), small_source(pick.picture), pick.weight)

    def _name(self, picture: int | str) -> str:
        return handlers.photo_name(self.library, picture) if isinstance(picture, int) else os.path.basename(picture)

    def _title(self, ask: Ask) -> str:
        liked = [self._name(pick.picture) for pick in ask.pictures if pick.weight > 0]
        more, unlike = len(liked) - 1, len(ask.pictures) - len(liked)
        spoken = ", ".join(ask.words)
        if not liked:
            return spoken
        beside = f" and {more} more picture{'s' * (more > 1)}" if more else ""
        beside += f", unlike {unlike} other{'s' * (unlike > 1)}" if unlike else ""
        return f"{liked[0]}{beside}{f', called {spoken}' * bool(spoken)}"

    def _trail(self, ask: Ask, trail: list[Step], title: str) -> list[Step]:
        """The trail with this query at its end: back where it was, if it is on it; filters and pages make no step."""
        if not title:
            return trail
        query = tuple(ask.pictures), tuple(ask.words)
        here = Step(address_of(Visit(ask), self.uploads), title, small_source(first_of(ask)), query)
        queries = [step.query for step in trail]
        kept = trail[: queries.index(query)] if query in queries else trail
        return [*kept, here][-STEPS:]

    def _controls(self, ask: Ask) -> Shown:
        """What the controls show for a query that did not come from them."""
        at = self.at
        names = self.library.follow().space.names
        most = max(1.0, *ask.stages) if ask.stages else 1.0  # sliders go to 1, and only the shares count
        fits = len(ask.stages) == len(names)
        mix = (
            {
                slider: gr.Slider(
                    value=ask.stages[number] / most if fits and number < len(names) else 1.0, **slider_of(names, number)
                )
                for number, slider in enumerate(at.mix)
            }
            if ask.stages
            else {}
        )
        return mix | {
            at.dial: MIX if ask.stages else ask.like if ask.like in DIAL else DIAL[-1],
            at.mixer: gr.Row(visible=bool(ask.stages)),
            at.words: list(ask.words),
            at.dates: "",
            at.folder: ask.folder,
            at.camera: ask.camera,
            at.after: shown_moment(ask.after),
            at.before: shown_moment(ask.before),
            at.filters: gr.Accordion(open=any((ask.folder, ask.camera, ask.after, ask.before))),
        }
