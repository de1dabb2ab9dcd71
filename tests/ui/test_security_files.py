"""Over HTTP against the running server: no file but the page's uploads, no address, no listing."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from index.job import index_folder
from index.library import Library
from tests.ui.page_over_http import PageOverHTTP
from ui.page_routes import _is_upload

ASKED: list[str] = []


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A server that must never be asked."""

    def do_GET(self) -> None:
        ASKED.append(self.path)
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_POST = do_GET  # noqa: N815


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a server that counts who asks it."""
    ASKED.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{other.server_port}/secret.jpg"
        other.shutdown()
        thread.join()


def raw(server: str, path: str) -> httpx.Response:
    """The answer to a path exactly as it stands: httpx itself would tidy it."""
    with httpx.Client() as client:
        url = httpx.URL(server).copy_with(raw_path=path.encode())
        return client.send(httpx.Request("GET", url))


@pytest.mark.parametrize(
    "route",
    ["/gradio_api/file=", "/gradio_api/file/", "/file=", "/photos/", "/static/", "/assets/", "/svelte/",
     "/gradio_api/stream/x/x/x/", "/gradio_api/custom_component/image/client/component/"],
)  # fmt: skip
def test_traversal_reaches_no_file(server: str, route: str, library: Library, photo_folder: Path):
    uploads = get_upload_folder()
    secrets = [str(library.folder / "catalog.sqlite"), str(photo_folder / "moon.jpg"), "/etc/passwd"]
    up = "../" * 12
    for secret in secrets:
        assert Path(secret).exists()
        bare = secret.lstrip("/")
        for way in (
            quote(secret), quote(secret, safe=""), "/" + quote(secret), up + quote(bare), quote(up, safe="") + quote(bare),
            quote(quote(up, safe=""), safe="") + quote(bare), up.replace("/", "%5c") + quote(bare),
            f"{quote(uploads)}/{up}{quote(bare)}", f"{quote(uploads)}/{quote(up, safe='')}{quote(bare)}",
            quote(secret) + "%00.jpg", "%00" + quote(secret), "file://" + quote(secret), "....//" * 12 + quote(bare),
        ):  # fmt: skip
            answer = raw(server, route + way)
            assert answer.status_code in (400, 403, 404, 405, 422), (route, way)
            assert b"root:" not in answer.content
            assert b"SQLite format" not in answer.content
            assert not answer.content.startswith(b"\xff\xd8")
            assert "Traceback" not in answer.text


def test_an_upload_is_served_and_a_link_beside_it_that_leads_elsewhere_is_not(server: str, photo_folder: Path):
    with PageOverHTTP(server) as page:
        path = Path(page.upload("moon.jpg", (photo_folder / "moon.jpg").read_bytes()).json()[0])
        assert page.client.get(f"/gradio_api/file={path}").status_code == 200
        link = path.with_name("link.jpg")
        link.symlink_to(photo_folder / "coffee.jpg")
        try:
            assert page.client.get(f"/gradio_api/file={link}").status_code == 404
        finally:
            link.unlink()
        assert page.client.get(f"/gradio_api/file={path.parent}").status_code == 404  # no listing


def test_what_counts_as_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    inside = tmp_path / "uploads" / "a" / "x.jpg"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"x")
    (tmp_path / "uploads-of-others").mkdir()
    (tmp_path / "uploads-of-others" / "x.jpg").write_bytes(b"x")
    (tmp_path / "uploads" / "circle").symlink_to(tmp_path / "uploads" / "circle")
    assert _is_upload(str(inside))
    for other in (
        str(tmp_path / "uploads-of-others" / "x.jpg"), str(tmp_path / "uploads"), str(tmp_path / "uploads" / "missing"), "x.jpg",
        "", f"{inside}\0", str(tmp_path / "uploads" / "circle"), "http://example.org/x.jpg", 7, None, "/" + "x" * 5000,
        f"{tmp_path}/uploads/../uploads-of-others/x.jpg",
    ):  # fmt: skip
        assert not _is_upload(other), other


@pytest.mark.parametrize("path", ["/monitoring", "/monitoring/summary", "/login", "/logout", "/gradio_api/run-history/buckets",
    "/gradio_api/deep_link?session_hash=x", "/gradio_api/token", "/gradio_api/queue/status", "/gradio_api/dev/reload",
    "/gradio_api/openapi.json", "/gradio_api/vibe-code", "/gradio_api/runs", "/gradio_api/component_server",
    "/gradio_api/process_recording", "/docs", "/redoc", "/gradio_api/mcp/"])  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(server: str, path: str):
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{server}{path}")
        assert answer.status_code in (404, 405)
        assert len(answer.content) < 200


def test_no_address_is_fetched_whoever_asks_for_it(server: str, elsewhere: str):
    for path in ("file=", "proxy=", "file/", "stream/"):
        for address in (
            elsewhere,
            quote(elsewhere, safe=""),
            elsewhere.replace("http://", "http:/"),
            "//" + elsewhere[7:],
        ):
            assert raw(server, f"/gradio_api/{path}{address}").status_code in (403, 404), address
    with PageOverHTTP(server) as page:
        for given in (
            {"path": elsewhere, "meta": {"_type": "gradio.FileData"}}, {"path": elsewhere}, {"url": elsewhere, "path": None},
            {"url": elsewhere, "path": elsewhere, "meta": {"_type": "gradio.FileData"}}, elsewhere,
            {"value": {"path": elsewhere, "url": elsewhere, "meta": {"_type": "gradio.FileData"}}},
        ):  # fmt: skip
            answer = page.event("query", "input", [given])
            assert "Photos like" not in answer
            assert "Traceback" not in answer
    assert ASKED == []
    assert httpx.get(elsewhere).status_code == 200  # it does count
    assert ASKED == ["/secret.jpg"]


def test_an_event_can_name_no_file_that_was_not_uploaded(server: str, photo_folder: Path, library: Library):
    with PageOverHTTP(server) as page:
        for path in (
            photo_folder / "moon.jpg",
            library.folder / "catalog.sqlite",
            "/etc/passwd",
            "/nowhere/at/all.jpg",
        ):
            answer = page.look_at(str(path))
            assert "may name files only that were uploaded" in answer, path  # the same whether there is such a file
            again = page.event("query", "input", [{"path": str(path), "orig_name": "x.jpg"}])
            assert "may name files only that were uploaded" in again
        assert "one JSON object" in page.client.post("/gradio_api/queue/join", content=b"[" * 100_000).text
        assert page.client.post("/gradio_api/queue/join", content=b"x" * (5 << 20)).status_code == 413
        assert page.client.post("/gradio_api/queue/join", json=[]).status_code == 400


def test_a_photo_is_served_by_its_id_alone_and_a_link_only_as_what_was_indexed(
    empty_library: Library, empty_server: str, photo_folder: Path, tmp_path: Path
):
    """What an index job finds in the folders is shown, links included: whoever names folders answers for what they lead to."""
    private = tmp_path / "private"
    folder = tmp_path / "shown"
    for made in (private, folder):
        made.mkdir()
    (folder / "moon.jpg").write_bytes((photo_folder / "moon.jpg").read_bytes())
    Image.open(photo_folder / "coffee.jpg").save(private / "secret.jpg")
    (private / "notes.txt").write_text("root:secret")
    (folder / "folder-link").symlink_to(private)
    (folder / "picture-link.jpg").symlink_to(private / "secret.jpg")
    (folder / "text-link.jpg").symlink_to(private / "notes.txt")
    (folder / "nowhere.jpg").symlink_to(tmp_path / "missing")
    for _ in index_folder(empty_library, [str(folder)]):
        pass
    photos = {p.path: p.id for state in ("present", "unreadable") for p in empty_library.catalog.photos_in(state, 99)}
    assert str(folder / "moon.jpg") in photos
    assert not [path for path in photos if "secret" in path]  # a linked folder is not entered
    shown = {photos[str(folder / name)] for name in ("moon.jpg", "picture-link.jpg")}
    for photo_id in range(7):
        answer = httpx.get(f"{empty_server}/photos/{photo_id}")
        assert answer.status_code == (200 if photo_id in shown else 404)
        assert b"root:secret" not in answer.content
    (folder / "moon.jpg").unlink()
    (folder / "moon.jpg").symlink_to(private / "notes.txt")  # swapped after it was indexed
    swapped = httpx.get(f"{empty_server}/photos/{photos[str(folder / 'moon.jpg')]}")
    assert swapped.status_code == 410
    assert "root:secret" not in swapped.text
