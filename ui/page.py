"""The page: two tabs, and which event goes to which handler. What happens lies in handlers.py, how it reads in markup.py."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from index.library import Library
from index.runner import Runner
from ui import handlers, markup
from ui.job_words import job_view

POLL_S = 1.0
CACHE_S = 3600  # what people upload is deleted after an hour, and when the server ends
BROWSERS_SHOW = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
_CHOOSE = Path(__file__).with_name("neighbours.js").read_text()
_PASTE = Path(__file__).with_name("paste.js").read_text()
_FAST: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build_page(library: Library, runner: Runner) -> gr.Blocks:
    """The whole page of one library. Theme and style are given where it is mounted."""
    events = _Events(library, runner)
    with gr.Blocks(title="RegConv", analytics_enabled=False, delete_cache=(CACHE_S // 4, CACHE_S)) as page:
        header = _html(markup.header(None, library.space.note), "header")
        with gr.Tabs():
            with gr.Tab("Look", id="look") as look:
                asked = _look_tab(events)
            with gr.Tab("Library", id="library") as admin:
                timer = _library_tab(events, page)
        page.load(events.machine, outputs=header, show_progress="hidden", api_visibility="private")
        page.load(None, js=_PASTE)
        look.select(lambda: gr.Timer(active=False), outputs=timer, **_FAST)
        look.select(events.hint, asked["query"], asked["neighbours"], **_FAST)
        admin.select(lambda: gr.Timer(active=True), outputs=timer, **_FAST)
    return page


def _look_tab(events: _Events) -> dict[str, Any]:
    query = gr.State(None)  # what is being looked at: None, an uploaded file or a photo's id
    with gr.Row(elem_classes="rc-look"):
        with gr.Column(scale=2, min_width=280):
            picture = gr.Image(
                label="Your picture", type="filepath", sources=["upload", "clipboard"], buttons=[], height=280,
                elem_id="query", placeholder="Drop a picture here, paste one, or click to choose",
            )  # fmt: skip
            problem = _html("", "look-problem")
            labels = _html(markup.labels(None), "labels")
            own = _html("", "own-labels")
            with gr.Group(visible=False) as lesson:
                word = gr.Textbox(
                    label="Teach it a word", placeholder="cat", max_lines=1, elem_id="word",
                    info="Yours alone: two words or more, a few photos each.",
                )  # fmt: skip
                teach = gr.Button("Teach this word", elem_id="teach")
            taught = _html("", "taught")
        with gr.Column(scale=5, min_width=320):
            neighbours = _html(events.no_neighbours(), "neighbours", js_on_load=_CHOOSE)
    stages = _html(events.no_stages(), "stages")
    shown = [query, problem, labels, own, lesson, taught, neighbours, stages]
    options: dict[str, Any] = {"api_visibility": "private", "show_progress_on": [picture], "concurrency_limit": 2}
    picture.input(events.look_at_upload, picture, [picture, *shown], preprocess=False, **options)
    neighbours.choose(events.look_at_photo, None, [picture, *shown], trigger_mode="always_last", **options)
    picture.clear(events.cleared, None, shown, **_FAST)
    gr.on([teach.click, word.submit], events.teach, [query, word], [word, taught, own], **_FAST)
    return {"query": query, "neighbours": neighbours}


def _html(value: str, elem_id: str, **options: Any) -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, **options)


def _library_tab(events: _Events, page: gr.Blocks) -> gr.Timer:
    timer = gr.Timer(POLL_S, active=False)
    shown_unreadable = gr.State(-1)
    counts = _html("", "counts")
    with gr.Group(elem_classes="rc-start"):
        folders = gr.Textbox(
            label="Folders with pictures", lines=2, max_lines=8, elem_id="folders",
            placeholder="/home/me/Pictures", info="Full paths on the computer that runs RegConv, one in each line. "
            "Folders inside are included; your files are only read.",
        )  # fmt: skip
        retry = gr.Checkbox(label="Try unreadable files again", elem_id="retry")
    problem = _html("", "start-problem")
    with gr.Row(elem_classes="rc-buttons"):
        start = gr.Button("Start", variant="primary", elem_id="start", min_width=120)
        stop = gr.Button("Stop", interactive=False, elem_id="stop", min_width=120)
    job = _html("", "job")
    unreadable = _html("", "unreadable")
    state = [counts, job, start, stop, unreadable, shown_unreadable]
    start.click(events.start, [folders, retry], problem, **_FAST).then(events.state, shown_unreadable, state, **_FAST)
    stop.click(events.stop, None, None, **_FAST).then(events.state, shown_unreadable, state, **_FAST)
    timer.tick(events.state, shown_unreadable, state, **_FAST)
    page.load(events.state, shown_unreadable, state, **_FAST)
    page.load(events.last_folders, None, folders, **_FAST)
    return timer


class _Events:
    """Handlers with the library at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, library: Library, runner: Runner) -> None:
        self.library = library
        self.runner = runner

    def machine(self) -> str:
        return markup.header(handlers.machine(self.library), self.library.space.note)

    def look_at_upload(self, upload: dict[str, Any] | None) -> list[Any]:
        """`upload` is Gradio's own record of a file below its upload folder, which it has checked."""
        if upload is None:
            return [gr.skip(), *self.cleared()]
        path = upload["path"]
        result = handlers.look_at_upload(self.library, path, upload.get("orig_name"))
        picture: Any = gr.skip()
        if result.saw is not None and not path.lower().endswith(BROWSERS_SHOW):
            picture = Image.fromarray(result.saw)  # no browser shows a TIFF or HEIC: show what the network saw
        return (
            [picture, path, *self._shown(result, may_teach=False)] if result.saw is not None else self._refused(result)
        )

    def look_at_photo(self, event: gr.EventData) -> list[Any]:
        photo_id = int(event.photo)
        result = handlers.look_at_photo(self.library, photo_id)
        if not result.hits and result.saw is None:
            return self._refused(result)
        view = handlers.view_of_photo(self.library, photo_id)
        picture = None if view is None else Image.open(io.BytesIO(view))
        return [picture, photo_id, *self._shown(result, may_teach=True)]

    def cleared(self) -> list[Any]:
        lesson = ["", gr.Group(visible=False), ""]
        return [None, "", markup.labels(None), *lesson, self.no_neighbours(), self.no_stages()]

    def teach(self, query: str | int | None, word: str) -> list[Any]:
        """Only photos of the library can be marked: an upload is not kept."""
        if not isinstance(query, int):
            return [gr.skip(), "", gr.skip()]
        lesson = handlers.teach_word(self.library, query, word)
        told = markup.lesson(lesson)
        return [gr.skip(), told, gr.skip()] if lesson.problem else ["", told, markup.own_labels(lesson.own)]

    def hint(self, query: str | int | None) -> Any:
        return self.no_neighbours() if query is None else gr.skip()

    def no_neighbours(self) -> str:
        numbers = self.library.catalog.counts(self.library.space_id)
        return markup.neighbours(None, markup.empty_hint(numbers, handlers.EMPTY_LIBRARY))

    def no_stages(self) -> str:
        names = [name.replace("stage", "stage ") for name in self.library.space.names if name.startswith("stage")]
        return markup.stages(None, ["input", "stem", *names])

    def start(self, folders: str, retry_failed: bool) -> str:
        return markup.problem(handlers.start_job(self.runner, folders, retry_failed))

    def stop(self) -> None:
        self.runner.stop()

    def last_folders(self) -> Any:
        job = self.runner.job()
        return "\n".join(job.folders) if job is not None and job.folders else gr.skip()

    def state(self, shown_unreadable: int) -> list[Any]:
        """Everything that changes while a job runs, from the catalogue: another process' job shows as well."""
        numbers = self.library.catalog.counts(self.library.space_id)
        view = job_view(self.runner.job())
        running = view is not None and view.running
        table: Any = gr.skip()
        if numbers["unreadable"] != shown_unreadable:
            table = markup.unreadable(handlers.unreadable(self.library), numbers["unreadable"])
        start, stop = gr.Button(interactive=not running), gr.Button(interactive=running)
        return [markup.counts(numbers), markup.job(view), start, stop, table, numbers["unreadable"]]

    def _shown(self, result: handlers.LookResult, may_teach: bool) -> list[Any]:
        lesson = [markup.own_labels(result.own), gr.Group(visible=may_teach), ""]
        return ["", markup.labels(result), *lesson, markup.neighbours(result), markup.stages(result)]

    def _refused(self, result: handlers.LookResult) -> list[Any]:
        """As before the first picture, with the reason where the picture would be."""
        _, _, *blank = self.cleared()
        return [None, None, markup.problem(result.problem), *blank]
