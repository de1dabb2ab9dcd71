"""What happens in the Look tab: every event makes a new query of the one before, and shows what changed with it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from ui import handlers
from ui.address import FARTHEST, PICTURES, BadAddress, Visit, address_of, shown_moment, visit_of
from ui.context import PageContext
from ui.handlers import LookResult
from ui.markup import problem
from ui.search_handlers import PAGE, Ask, Found, Pick, cameras, folders, search, words
from ui.tabs import found_markup, look_markup
from ui.tabs.look_markup import ShownPick
from ui.tabs.look_parts import BROWSERS_SHOW, DIAL, MIX, LookParts, Picture, Step, View, first_of, small_source
from ui.tabs.shared import number, value

TO_TRY = 12  # photos of the library, before the first query
VIEW_PX = 720  # of the picture that is looked at: it is shown about half so large, screens may have two pixels for one
STEPS = 10  # queries that are shown to go back to
CHOICES = 200

Shown = dict[Any, Any]  # component -> what it shows now


class LookEvents:
    """Handlers with the library at hand; each answers with what the components show now, and leaves out what stays."""

    at: LookParts

    def __init__(self, context: PageContext) -> None:
        self.library = context.library
        self.uploads = Path(get_upload_folder())

    @property
    def as_it_is(self) -> Shown:
        """Nothing changes; Gradio wants one component at least to be named."""
        return {self.at.trouble: gr.skip()}

    # pictures

    def upload(self, upload: dict[str, Any] | None, *view: Any) -> Shown:
        """`upload` is Gradio's own record of a file below its upload folder, which it has checked."""
        path = str((upload or {}).get("path", ""))
        if not path:
            return self.cleared(*view)
        if (upload or {}).get("size") is None:
            return (
                self.as_it_is
            )  # nobody gave it: it is what the field showed, which Gradio sends again when it is cleared
        shown = self.asked(View.of(view), pictures=(Pick(path),))
        if path.lower().endswith(BROWSERS_SHOW) and shown.get(self.at.picture) == path:
            del shown[self.at.query]  # it is there already
        return shown

    def add_upload(self, upload: dict[str, Any] | None, *view: Any) -> Shown:
        """One more picture to be like."""
        path = str((upload or {}).get("path", ""))
        return self._with_more(View.of(view), Pick(path)) if path else self.as_it_is

    def choose(self, event: gr.EventData, *view: Any) -> Shown:
        """A photo becomes the query; the filters stay."""
        return self.asked(View.of(view), pictures=(Pick(number(event, "photo") or 0),))

    def more(self, event: gr.EventData, *view: Any) -> Shown:
        return self._with_more(View.of(view), Pick(number(event, "photo") or 0))

    def less(self, event: gr.EventData, *view: Any) -> Shown:
        return self._with_more(View.of(view), Pick(number(event, "photo") or 0, -1.0))

    def weigh(self, event: gr.EventData, *view: Any) -> Shown:
        """A slider of the query's pictures was moved; at zero its picture goes."""
        now, place, text = View.of(view), number(event, "number"), value(event, "value")
        try:
            weight = min(max(float(text), look_markup.LEAST), look_markup.MOST)
        except ValueError:
            return self.as_it_is
        if place is None or place >= len(now.ask.pictures) or weight != weight:
            return self.as_it_is
        pictures = list(now.ask.pictures)
        pictures[place] = replace(pictures[place], weight=weight)
        return self._with_pictures(now, [pick for pick in pictures if pick.weight])

    def drop(self, event: gr.EventData, *view: Any) -> Shown:
        now, place = View.of(view), number(event, "number")
        return self._with_pictures(now, [pick for at, pick in enumerate(now.ask.pictures) if at != place])

    def cleared(self, *view: Any) -> Shown:
        """The picture was taken away; words and filters stay."""
        return self.asked(View.of(view), pictures=())

    # words, filters, pages

    def say(self, event: gr.EventData, *view: Any) -> Shown:
        """A word to search by."""
        words = (value(event, "word"),)
        now = View.of(view)
        return self.show(replace(now.ask, words=words, start=0), now.trail, now.picture) | {self.at.words: list(words)}

    def narrow(self, *view: Any) -> Shown:
        """A control was changed."""
        now = View.of(view)
        mixer = {self.at.mixer: gr.Row(visible=now.controls[0] == MIX)}
        try:
            if now.as_controls_say() == now.ask:
                return mixer
        except BadAddress as error:
            return {self.at.trouble: problem(str(error))}
        return self.asked(now) | mixer

    def asked(self, view: View, **change: Any) -> Shown:
        """The first page of the query with a change, as all controls say: one of them may have been left just now."""
        try:
            ask = view.as_controls_say()
        except BadAddress as error:
            return {self.at.trouble: problem(str(error))}
        return self.show(replace(ask, **{"start": 0} | change), view.trail, view.picture)

    def turn(self, event: gr.EventData, *view: Any) -> Shown:
        """To another page of the answer."""
        start = min(PAGE * (number(event, "page") or 0), FARTHEST - PAGE)
        return self.asked(View.of(view), start=start)

    def word_choices(self) -> Any:
        return gr.Dropdown(
            choices=[(f"{word} ({count:,})", word) for word, count, _ in words(self.library, "", CHOICES)]
        )

    def filter_choices(self) -> tuple[Any, Any]:
        return tuple(
            gr.Dropdown(choices=[(f"{name} ({count:,})", name) for name, count in choices])
            for choices in (folders(self.library), cameras(self.library))
        )  # type: ignore[return-value]

    # views

    def visit(self, event: gr.EventData, ask: Ask, trail: list[Step], picture: Picture) -> Shown:
        """What an address shows: a link that was opened, back and forward, an earlier query."""
        try:
            visit = visit_of(value(event, "address"), self.uploads)
        except BadAddress as error:
            return {self.at.trouble: problem(str(error)), self.at.address: self.address_in("look", ask)}
        return self.show(visit.ask, trail, picture, visit.tab) | self._controls(visit.ask)

    def address_in(self, tab: str, ask: Ask) -> str:
        """The address of the query in another tab."""
        return look_markup.address(address_of(Visit(ask, tab), self.uploads))

    def show(self, ask: Ask, trail: list[Step], picture: Picture, tab: str = "look") -> Shown:
        """The answer to a query; what the network sees only where another `picture` is shown."""
        at, first = self.at, first_of(ask)
        shown: Shown = {at.ask: ask, at.trouble: "", at.taught: ""}
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
            at.steps: look_markup.trail([(step.address, step.title, step.source) for step in trail]),
            at.picks: self._picks(ask),
            at.found: self.nothing_yet() if found is None else self._found(found, ask, title),
            at.address: look_markup.address(address_of(Visit(ask, tab), self.uploads)),
        }
        return shown

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

    def hint(self, ask: Ask) -> Any:
        """The library may have got photos since the tab was left."""
        return gr.skip() if ask.pictures or ask.words else self.nothing_yet()

    def teach(self, picture: str | int | None, word: str) -> list[Any]:
        """Only photos of the library can be marked: an upload is not kept."""
        if not isinstance(picture, int):
            return [gr.skip(), "", gr.skip()]
        lesson = handlers.teach_word(self.library, picture, word)
        told = look_markup.lesson(lesson)
        return [gr.skip(), told, gr.skip()] if lesson.problem else ["", told, look_markup.own_labels(lesson.own)]

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
        shown = {at.ask: nothing, at.trouble: problem(result.problem), at.picks: "", at.found: self.nothing_yet()}
        return shown | self._seen(None, None) | {at.address: look_markup.address(""), at.taught: ""}

    def _with_more(self, view: View, pick: Pick) -> Shown:
        return self._with_pictures(view, [one for one in view.ask.pictures if one.picture != pick.picture] + [pick])

    def _with_pictures(self, view: View, pictures: Sequence[Pick]) -> Shown:
        if len(pictures) > PICTURES:
            return {self.at.trouble: problem(f"A query has at most {PICTURES} pictures: take one out first.")}
        if pictures and all(pick.weight < 0 for pick in pictures):
            words = "A query needs a picture to be like beside those to be unlike. Click a photo, or move a slider to “like”."
            return {self.at.trouble: problem(words), self.at.picks: self._picks(view.ask)}
        return self.asked(view, pictures=tuple(pictures))

    def _found(self, found: Found, ask: Ask, title: str) -> str:
        heading = f"Photos like {title}" if ask.pictures else f"Photos called {title}"
        return found_markup.found_photos(found, heading, ask.start // PAGE, has_picture=bool(ask.pictures))

    def _picks(self, ask: Ask) -> str:
        return look_markup.picks([self._shown_pick(pick) for pick in ask.pictures])

    def _shown_pick(self, pick: Pick) -> ShownPick:
        return ShownPick(self._name(pick.picture), small_source(pick.picture), pick.weight)

    def _name(self, picture: int | str) -> str:
        return handlers.photo_name(self.library, picture) if isinstance(picture, int) else os.path.basename(picture)

    def _title(self, ask: Ask) -> str:
        liked = [self._name(pick.picture) for pick in ask.pictures if pick.weight > 0]
        more = len(ask.pictures) - 1
        beside = f" and {more} more picture{'s' * (more > 1)}" if more > 0 else ""
        spoken = ", ".join(ask.words)
        if not liked:
            return spoken
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
        mix = list(ask.stages) if len(ask.stages) == len(at.mix) else [1.0] * len(at.mix)
        mix = [weight / max(1.0, *mix) for weight in mix]  # sliders go to 1, and only the shares count
        return {
            at.dial: MIX if ask.stages else ask.like if ask.like in DIAL else DIAL[-1],
            at.mixer: gr.Row(visible=bool(ask.stages)),
            at.words: list(ask.words),
            at.folder: ask.folder,
            at.camera: ask.camera,
            at.after: shown_moment(ask.after),
            at.before: shown_moment(ask.before),
            at.filters: gr.Accordion(open=any((ask.folder, ask.camera, ask.after, ask.before))),
            **dict(zip(at.mix, mix, strict=True)),
        }
