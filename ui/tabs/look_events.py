"""What happens in the Look tab: every event makes a new query of the one before, and shows what changed with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from ui import handlers
from ui.address import FARTHEST, PICTURES, WORDS, BadAddress, visit_of
from ui.markup import problem
from ui.search_handlers import PAGE, Ask, Pick, cameras, folders, words
from ui.tabs import look_markup
from ui.tabs.look_answers import LookAnswers, Shown
from ui.tabs.look_parts import BROWSERS_SHOW, MIX, Picture, Step, View
from ui.tabs.shared import number, value

CHOICES = 200
NO_FOLDER = "There are no photos yet."
NO_CAMERA = "No photo here says by which camera it was taken."


class LookEvents(LookAnswers):
    """Handlers with the library at hand; each answers with what the components show now, and leaves out what stays."""

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
        return self._with_more(View.of(view), Pick(path), self.at.trouble) if path else self.as_it_is

    def choose(self, event: gr.EventData, *view: Any) -> Shown:
        """A photo becomes the query; the filters stay."""
        return self.asked(View.of(view), pictures=(Pick(number(event, "photo") or 0),))

    def more(self, event: gr.EventData, *view: Any) -> Shown:
        return self._with_more(View.of(view), Pick(number(event, "photo") or 0), self.at.said)

    def less(self, event: gr.EventData, *view: Any) -> Shown:
        return self._with_more(View.of(view), Pick(number(event, "photo") or 0, -1.0), self.at.said)

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
        return self._with_pictures(now, [pick for pick in pictures if pick.weight], self.at.trouble)

    def drop(self, event: gr.EventData, *view: Any) -> Shown:
        now, place = View.of(view), number(event, "number")
        return self._with_pictures(
            now, [pick for at, pick in enumerate(now.ask.pictures) if at != place], self.at.trouble
        )

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
        names = self.library.follow().space.names
        mixer = {self.at.mixer: gr.Row(visible=now.controls[0] == MIX)}
        ask, wrong = now.as_controls_say(len(names))
        if ask == now.ask:
            return mixer | self.mix_of(now, names) | self.dates(wrong)
        return self.asked(now) | mixer

    def narrow_words(self, *view: Any) -> Shown:
        """The words were changed, or a link has set them, before the other controls show what it says."""
        now = View.of(view)
        is_same = tuple(now.controls[1] or ())[:WORDS] == tuple(now.ask.words)
        return self.as_it_is if is_same else self.narrow(*view)

    def asked(self, view: View, **change: Any) -> Shown:
        """The first page of the query with a change, as all controls say: one of them may have been left just now."""
        names = self.library.follow().space.names
        ask, wrong = view.as_controls_say(len(names))
        shown = self.show(replace(ask, **{"start": 0} | change), view.trail, view.picture)
        return shown | self.dates(wrong) | self.mix_of(view, names)

    def turn(self, event: gr.EventData, *view: Any) -> Shown:
        """To another page of the answer."""
        start = min(PAGE * (number(event, "page") or 0), FARTHEST - PAGE)
        return self.asked(View.of(view), start=start)

    def word_choices(self) -> Any:
        return gr.Dropdown(
            choices=[(f"{word} ({count:,})", word) for word, count, _ in words(self.library, "", CHOICES)]
        )

    def filter_choices(self) -> tuple[Any, Any]:
        there = folders(self.library)
        return _choices(there, NO_FOLDER), _choices(cameras(self.library), NO_CAMERA if there else NO_FOLDER)

    # views

    def visit(self, event: gr.EventData, ask: Ask, trail: list[Step], picture: Picture) -> Shown:
        """What an address shows: a link that was opened, back and forward, an earlier query."""
        try:
            visit = visit_of(value(event, "address"), self.uploads)
        except BadAddress as error:
            return {self.at.said: problem(str(error)), self.at.address: self.address_in("look", ask)}
        return self.show(visit.ask, trail, picture, visit.tab) | self._controls(visit.ask)

    def is_refused(self, shown: Shown) -> bool:
        """Whether what is shown says why there is no such query."""
        return bool(shown.get(self.at.trouble) or shown.get(self.at.said))

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

    def _with_more(self, view: View, pick: Pick, said: gr.HTML) -> Shown:
        pictures = [one for one in view.ask.pictures if one.picture != pick.picture] + [pick]
        return self._with_pictures(view, pictures, said)

    def _with_pictures(self, view: View, pictures: Sequence[Pick], said: gr.HTML) -> Shown:
        """The query of these pictures; why there is none in `said`, which lies where they were chosen."""
        nothing = {self.at.trouble: "", self.at.said: ""}
        if len(pictures) > PICTURES:
            return nothing | {said: problem(f"A query has at most {PICTURES} pictures: take one out first.")}
        if pictures and all(pick.weight < 0 for pick in pictures):
            words = "A query needs a picture to be like beside those to be unlike. Click a photo, or move a slider to “like”."
            return nothing | {said: problem(words), self.at.picks: self._picks(view.ask)}
        return self.asked(view, pictures=tuple(pictures))


def _choices(there: Sequence[tuple[str, int]], nothing: str) -> Any:
    """What a field offers, or at the field why it offers nothing."""
    return gr.Dropdown(
        choices=[(f"{name} ({count:,})", name) for name, count in there], info=None if there else nothing
    )
