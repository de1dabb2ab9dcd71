"""The password: kept as a hash, guessed slowly, given in several ways, asked for on other addresses."""

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import app
from index.library import Library
from ui import server
from ui.guard import Guard
from ui.password import (
    FREE_ATTEMPTS,
    LONGEST_DELAY_S,
    SETTING,
    Attempts,
    Hashed,
    PasswordError,
    Sessions,
    hashed,
    keep,
    kept,
)
from ui.server import build_app

GOOD = "geheim ä:x"


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_password_is_kept_as_a_salted_hash_and_needs_to_be_given_once(empty_library: Library):
    assert kept(empty_library) is None
    keep(empty_library, GOOD)
    text = empty_library.catalog.setting(SETTING)
    assert text is not None
    assert text.startswith("scrypt$32768$8$1$")
    assert GOOD not in text
    again = kept(empty_library)
    assert again is not None
    assert again.is_of(GOOD.encode())
    assert not again.is_of(b"geheim")
    keep(empty_library, GOOD)
    assert empty_library.catalog.setting(SETTING) == text  # the same one is not written again
    assert str(hashed(GOOD)) != text  # another salt
    keep(empty_library, "")
    assert kept(empty_library) is None


def test_short_passwords_are_refused_in_words(empty_library: Library):
    with pytest.raises(PasswordError, match="has 7 characters; give at least 8"):
        keep(empty_library, "1234567")
    assert kept(empty_library) is None


@pytest.mark.parametrize(
    "text", ["x", "scrypt$1$1", "md5$1$8$1$YQ==$YQ==", "scrypt$a$8$1$YQ==$YQ==", "scrypt$2$8$1$!$YQ=="]
)
def test_a_damaged_password_opens_nothing(empty_library: Library, text: str):
    empty_library.catalog.remember(SETTING, text)
    with pytest.raises(PasswordError, match=r"can't be read\. Give it anew"):
        build_app(empty_library)
    keep(empty_library, GOOD)
    assert kept(empty_library) is not None


def test_a_hash_can_be_read_back():
    made = hashed(GOOD)
    assert Hashed.parsed(str(made)) == made


def test_each_wrong_guess_makes_the_next_wait_longer():
    clock = Clock()
    attempts = Attempts(clock)
    waits = []
    for _ in range(FREE_ATTEMPTS + 8):
        attempts.failed("10.0.0.1")
        waits.append(attempts.wait_s("10.0.0.1"))
        clock.now += waits[-1]
        assert attempts.wait_s("10.0.0.1") == 0
    assert waits[: FREE_ATTEMPTS - 1] == [0] * (FREE_ATTEMPTS - 1)
    assert waits[FREE_ATTEMPTS - 1 :] == [1, 2, 4, 8, 16, 32, LONGEST_DELAY_S, LONGEST_DELAY_S, LONGEST_DELAY_S]
    attempts.failed("10.0.0.1")
    assert attempts.wait_s("10.0.0.2") == 0
    attempts.passed("10.0.0.1")
    assert attempts.wait_s("10.0.0.1") == 0


def test_one_network_of_ipv6_is_one_client_and_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch):
    attempts = Attempts(Clock())
    for number in range(FREE_ATTEMPTS):
        attempts.failed(f"2001:db8::{number}")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:0:1::1") == 0
    monkeypatch.setattr("ui.password._CLIENTS", 3)
    for number in range(20):
        attempts.failed(f"10.0.0.{number}")
    assert len(attempts._failed) == 3


def test_sessions_are_random_and_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ui.password._SESSIONS", 2)
    sessions = Sessions()
    first, second, third = (sessions.begin() for _ in range(3))
    assert len({first, second, third}) == 3
    assert [sessions.know(token) for token in (first, second, third, "", "é\ud800")] == [
        False,
        True,
        True,
        False,
        False,
    ]


@pytest.fixture
def guarded() -> Iterator[tuple[TestClient, Clock]]:
    """A small application behind a password."""
    inner, clock = FastAPI(), Clock()

    @inner.get("/")
    def inside() -> str:
        return "inside"

    inner.add_middleware(Guard, password=hashed(GOOD), attempts=Attempts(clock))
    with TestClient(inner) as client:
        yield client, clock


def test_guessing_over_http_is_slowed_down_and_a_session_is_not(guarded: tuple[TestClient, Clock]):
    client, clock = guarded
    answer = client.get("/", headers=basic(GOOD))
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert GOOD not in cookie
    token = {"Cookie": cookie.partition(";")[0]}
    client.cookies.clear()
    for _ in range(FREE_ATTEMPTS):
        assert client.get("/", headers=basic("not this one")).status_code == 401
    slowed = client.get("/", headers=basic(GOOD))  # right or wrong: nobody guesses now
    assert (slowed.status_code, slowed.headers["retry-after"]) == (429, "1")
    assert "Too many wrong passwords" in slowed.text
    assert client.get("/").status_code == 401
    assert client.get("/", headers=token).json() == "inside"
    assert client.get("/", headers={"Cookie": token["Cookie"] + "x"}).status_code == 401
    assert client.get("/", headers={"Cookie": "regconv-80=; \x7f=;=;;"}).status_code == 401
    clock.now += 1
    assert client.get("/", headers=basic(GOOD)).status_code == 200


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Runs a command that would serve, without serving: (exit code, what the application was made and served with)."""
    monkeypatch.delenv("REGCONV_PASSWORD", raising=False)

    def run(*arguments: str, verb: str = "ui") -> tuple[int, list[dict[str, Any]]]:
        served: list[dict[str, Any]] = []

        def serve(made: FastAPI, host: str, port: int, **_: Any) -> None:
            served.append(
                {"open": made.state.is_open, "demo": made.state.is_demo, "host": host, "names": made.state.names}
            )

        monkeypatch.setattr(server, "serve", serve)
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
        code = app.main(
            [verb, "--library", str(tmp_path / "kept"), "--model", "starter", "--device", "cpu", *arguments]
        )
        return code, served

    return run


def test_the_command_keeps_a_password_once_given_and_takes_it_away(
    started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    def is_open(*arguments: str) -> bool:
        code, served = started(*arguments)
        assert code == 0
        return served[0]["open"]

    assert is_open()
    assert not is_open("--password", GOOD)
    assert not is_open()
    assert is_open("--no-password")
    assert is_open()
    monkeypatch.setattr("sys.stdin", io.StringIO("from the input\n"))
    assert not is_open("--password", "-")
    assert is_open("--password", "")
    monkeypatch.setenv("REGCONV_PASSWORD", "from the environment")
    assert not is_open()
    assert is_open("--no-password")


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--password", "short"], "has 5 characters; give at least 8", 1),
        (["--password", GOOD, "--no-password"], "not both", 2),
        (["--password", "-"], "there was none", 2),
    ],
)
def test_passwords_that_can_not_be_used(
    started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], words: str, code: int,
):  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert started(*arguments) == (code, [])
    told = capsys.readouterr().err
    assert words in told
    assert GOOD not in told
