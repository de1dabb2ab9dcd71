import base64
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from index.library import Library
from index.runner import Runner
from ui.server import ServerError, build_app, is_loopback, serve


@pytest.fixture(scope="module")
def client(library: Library) -> Iterator[TestClient]:
    with TestClient(build_app(library)) as client:
        yield client


def test_a_photo_comes_upright_and_without_metadata(client: TestClient, photo_ids: dict[str, int], photo_folder: Path):
    answer = client.get(f"/photos/{photo_ids['lying.jpg']}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(answer.content))
    with Image.open(photo_folder / "rocket.jpg") as upright:
        assert picture.size == upright.size
    assert dict(picture.getexif()) == {}
    assert b"secret" not in answer.content


def test_a_thumbnail_is_small_and_may_be_kept(client: TestClient, photo_ids: dict[str, int]):
    answer = client.get(f"/photos/{photo_ids['coffee.jpg']}/thumbnail")
    assert answer.status_code == 200
    assert max(Image.open(io.BytesIO(answer.content)).size) <= 512
    assert "private" in answer.headers["cache-control"]
    again = client.get(
        f"/photos/{photo_ids['coffee.jpg']}/thumbnail", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_a_lost_thumbnail_is_made_from_the_photo(client: TestClient, library: Library, photo_ids: dict[str, int]):
    photo = library.catalog.photo(photo_ids["moon.jpg"])
    assert photo is not None
    assert photo.digest is not None
    library.thumbnails.path(photo.digest).unlink()
    assert client.get(f"/photos/{photo.id}/thumbnail").content.startswith(b"\xff\xd8")


@pytest.mark.parametrize("what", ["", "/thumbnail"])
def test_photos_that_are_not_there_are_refused_in_words(client: TestClient, photo_ids: dict[str, int], what: str):
    unknown = client.get(f"/photos/999999{what}")
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == "There is no photo with the number 999999 in this library."
    broken = client.get(f"/photos/{photo_ids['broken.jpg']}{what}")
    assert broken.status_code == 404
    assert "the file ends early" in broken.json()["detail"]
    assert "/" not in broken.json()["detail"]
    assert client.get(f"/photos/{10**30}{what}").status_code == 404
    assert client.get(f"/photos/-1{what}").status_code == 404


def test_gone_photos_are_gone(empty_library: Library, photo_folder: Path, tmp_path: Path):
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("moon.jpg", "coffee.jpg"):
        (folder / name).write_bytes((photo_folder / name).read_bytes())
    runner = Runner(empty_library)
    runner.start([str(folder)])
    runner.wait(60)
    photo = next(photo for photo in empty_library.catalog.photos_in("present", 9) if photo.path.endswith("moon.jpg"))
    (folder / "moon.jpg").unlink()
    with TestClient(build_app(empty_library)) as client:
        missing = client.get(f"/photos/{photo.id}")
        assert missing.status_code == 410
        assert str(folder) not in missing.text
        runner.start([str(folder)])
        runner.wait(60)
        assert client.get(f"/photos/{photo.id}").status_code == 410
        assert client.get("/health").json()["photos"] == 1


@pytest.mark.parametrize(
    "path", ["/photos/etc/passwd", "/photos/../pyproject.toml", "/photos/1/../../x", "/photos/1.jpg"]
)
def test_paths_are_no_ids(client: TestClient, path: str):
    assert client.get(path).status_code in (404, 422)


def test_gradio_serves_no_file_of_the_library_nor_of_the_photos(
    client: TestClient, library: Library, photo_folder: Path
):
    files = [library.folder / "catalog.sqlite", photo_folder / "moon.jpg", Path("pyproject.toml").absolute()]
    for file in files:
        assert file.exists()
        for route in ("/gradio_api/file=", "/file="):
            assert client.get(f"{route}{file}").status_code in (403, 404), file


def test_health(client: TestClient):
    answer = client.get("/health").json()
    assert answer["status"] == "ok"
    assert answer["photos"] == 14
    assert answer["model"] == "starter"
    assert answer["faiss"].startswith(("cpu", "gpu"))


@pytest.mark.parametrize("path", ["/", "/health", "/photos/999999"])
def test_every_answer_is_guarded(client: TestClient, path: str):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_the_page_names_no_other_host_to_load_from(client: TestClient):
    page = client.get("/").text
    assert "RegConv" in page
    for loaded in ("fonts.googleapis", "fonts.gstatic", 'src="http', 'rel="preconnect" href="http'):
        assert loaded not in page
    assert client.get("/docs").status_code == 404  # FastAPI's own loads scripts from elsewhere


def test_scripts_and_styles_come_compressed_and_photos_as_they_are(client: TestClient, photo_ids: dict[str, int]):
    page = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    assert "RegConv" in page.text
    script = next(name for name in re.findall(r"assets/[\w.-]+\.js", page.text))
    answer = client.get(f"/{script}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get(f"/{script}", headers={"Accept-Encoding": "identity"}).headers
    photo = client.get(f"/photos/{photo_ids['moon.jpg']}", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in photo.headers


def test_a_password_is_asked_for_everywhere(library: Library, photo_ids: dict[str, int]):
    with TestClient(build_app(library, password="geheim ä:x")) as client:
        for path in ("/", "/health", f"/photos/{photo_ids['moon.jpg']}", "/gradio_api/info"):
            refusal = client.get(path)
            assert refusal.status_code == 401
            assert refusal.headers["www-authenticate"].startswith("Basic")
        for wrong in ("Basic !!!", "Basic", "Bearer x", "Basic " + base64.b64encode(b"me:wrong").decode()):
            assert client.get("/health", headers={"Authorization": wrong}).status_code == 401
        right = base64.b64encode("anyone:geheim ä:x".encode()).decode()
        assert client.get("/health", headers={"Authorization": f"Basic {right}"}).status_code == 200


def test_a_taken_port_is_said_in_words(library: Library):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {port} on 127.0.0.1 can't be used .* --port"):
            serve(build_app(library), port=port)


def test_other_hosts_need_a_password(library: Library):
    with pytest.raises(ServerError, match="Give --password"):
        serve(build_app(library), host="0.0.0.0", port=0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.3.2.1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool):
    assert is_loopback(host) is loopback


def test_a_running_server_says_when_it_is_ready(server: str):
    assert httpx.get(f"{server}/health").json()["status"] == "ok"
    assert httpx.get(server).status_code == 200
