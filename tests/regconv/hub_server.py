"""A small server on this machine that answers as the hub does: downloads, new repositories, uploads, commits.

Requests and answers are those of huggingface_hub 2.4: repos/create, branch, preupload, LFS batch with a PUT and a
verification, commit as lines of JSON, tree, resolve.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_may_write", "hf_may_read"
# huggingface_hub asks for it by itself, once in a process and a day, before whatever it was called for: not counted.
REGISTRY = "/api/agent-harnesses"


def commit_of(folder: Path) -> str:
    """The hash that names the commit in this folder."""
    return hashlib.sha1(str(folder).encode()).hexdigest()


class Refusal(Exception):
    """An answer other than 200: its status and the hub's word for the reason."""

    def __init__(self, status: int, word: str, **more: str) -> None:
        super().__init__(word)
        self.status, self.word = status, word
        self.body = json.dumps({"error": word, **more}).encode()


class Hub:
    """The repositories behind the server: name -> revision -> folder; and what was asked of it."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.repositories: dict[str, dict[str, Path]] = {}
        self.commits: dict[str, Path] = {}
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.verified: set[str] = set()
        self.after_config: Callable[[], None] = lambda: None
        self.requests: list[str] = []
        self.tokens: list[str | None] = []
        self.endpoint = ""

    def add(self, name: str, revision: str, folder: Path) -> None:
        self.repositories.setdefault(name, {})[revision] = folder
        self.commits[commit_of(folder)] = folder

    def folder(self, name: str, revision: str) -> Path:
        if name not in self.repositories:
            raise Refusal(404, "RepoNotFound")
        folder = self.repositories[name].get(revision) or self.commits.get(revision)
        if folder is None:
            raise Refusal(404, "RevisionNotFound")
        return folder

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Name -> content of everything at a revision."""
        return {path.name: path.read_bytes() for path in self.folder(name, revision).iterdir()}

    def may_write(self, token: str | None) -> None:
        if token not in (f"Bearer {WRITER}", f"Bearer {READER}"):
            raise Refusal(401, "Invalid credentials in Authorization header")
        if token != f"Bearer {WRITER}":
            raise Refusal(403, "you need write access")

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"{body.get('organization') or 'someone'}/{body['name']}"
        if name in self.repositories:
            raise Refusal(409, "You already created this model repo", url=f"{self.endpoint}/{name}")
        self.add(name, "main", self.new_folder())
        self.private[name] = body.get("visibility") == "private"
        return {"url": f"{self.endpoint}/{name}"}

    def new_folder(self) -> Path:
        folder = self.storage / f"commit-{len(self.commits)}"
        folder.mkdir(parents=True)
        return folder

    def branch(self, name: str, branch: str) -> dict[str, Any]:
        if branch in self.repositories[name]:
            raise Refusal(409, "the branch exists")
        self.add(name, branch, self.folder(name, "main"))
        return {}

    def batch(self, body: dict[str, Any]) -> dict[str, Any]:
        objects = []
        for wanted in body["objects"]:
            oid = wanted["oid"]
            upload = {"href": f"{self.endpoint}/lfs/{oid}"}
            verify = {"href": f"{self.endpoint}/lfs-verify/{oid}"}
            objects.append(wanted | {"actions": {"upload": upload, "verify": verify}})
        return {"transfer": "basic", "objects": objects}

    def commit(self, name: str, revision: str, body: bytes, as_pull_request: bool) -> dict[str, Any]:
        before = self.folder(name, revision)
        folder = self.new_folder()
        shutil.copytree(before, folder, dirs_exist_ok=True)
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                self.messages.append(value["summary"])
            elif operation["key"] == "deletedFile":
                (folder / value["path"]).unlink()
            elif operation["key"] == "lfsFile":
                assert value["oid"] in self.verified
                (folder / value["path"]).write_bytes(self.objects[value["oid"]])
            else:
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
        self.add(name, "refs/pr/1" if as_pull_request else revision, folder)
        answer = {"commitUrl": f"{self.endpoint}/{name}/commit/{commit_of(folder)}", "commitOid": commit_of(folder)}
        return answer | ({"pullRequestUrl": f"{self.endpoint}/{name}/discussions/1"} if as_pull_request else {})

    def tree(self, name: str, revision: str) -> list[dict[str, Any]]:
        files = self.files(name, revision).items()
        return [{"type": "file", "path": path, "size": len(data), "oid": "0"} for path, data in files]

    def posted(self, path: str, query: str, body: bytes) -> Any:
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if match := re.fullmatch(r"/lfs-verify/(\w+)", path):
            assert hashlib.sha256(self.objects[match[1]]).hexdigest() == match[1]
            self.verified.add(match[1])
            return {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch(json.loads(body))
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(branch|preupload|commit)/(.+)", path)
        if match is None:
            raise Refusal(404, f"nothing at {path}")
        name, verb, revision = match[1], match[2], unquote(match[3])
        if verb == "branch":
            return self.branch(name, revision)
        if verb == "commit":
            return self.commit(name, revision, body, "create_pr=1" in query)
        self.folder(name, revision)
        files = [file["path"] for file in json.loads(body)["files"]]
        large = (".safetensors", ".bin")
        modes = {file: "lfs" if file.endswith(large) else "regular" for file in files}
        return {"files": [{"path": f, "uploadMode": mode, "shouldIgnore": False} for f, mode in modes.items()]}


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(self.got)

        def do_GET(self) -> None:
            self.answer(self.got)

        def do_POST(self) -> None:
            address, body = urlsplit(self.path), self.body()
            self.answer(lambda: self.changed(lambda: hub.posted(address.path, address.query, body)))

        def do_PUT(self) -> None:
            hub.objects[self.path.removeprefix("/lfs/")] = self.body()
            self.answer(lambda: ({}, b"{}"))

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            whole = b""
            while length := int(self.rfile.readline(), 16):
                whole += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return whole

        def changed(self, act: Callable[[], Any]) -> tuple[dict[str, str], bytes]:
            hub.may_write(self.headers.get("Authorization"))
            return {}, json.dumps(act()).encode()

        def got(self) -> tuple[dict[str, str], bytes]:
            path = urlsplit(self.path).path
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(.+)", path):
                return {}, json.dumps(hub.tree(match[1], unquote(match[2]))).encode()
            name, _, rest = path.lstrip("/").partition("/resolve/")
            revision, _, file = rest.partition("/")
            folder = hub.folder(name, unquote(revision))
            if not (folder / file).is_file():
                raise Refusal(404, "EntryNotFound")
            body = (folder / file).read_bytes()
            return {"X-Repo-Commit": commit_of(folder), "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body

        def answer(self, act: Callable[[], tuple[dict[str, str], bytes]]) -> None:
            path = urlsplit(self.path).path
            if path != REGISTRY:
                hub.requests.append(f"{self.command} {path.rsplit('/', 1)[1]}")
                hub.tokens.append(self.headers.get("Authorization"))
            try:
                (headers, body), status = act(), 200
            except Refusal as refusal:
                headers = {"X-Error-Code": refusal.word, "X-Error-Message": refusal.word}
                body, status = refusal.body, refusal.status
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
                if self.path.endswith("/config.json"):
                    hub.after_config()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub with its server running at hub.endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
