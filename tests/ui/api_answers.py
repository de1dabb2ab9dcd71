"""What the tests of the interface ask of its answers."""

from __future__ import annotations

import os
from pathlib import Path

import httpx


def refused(answer: httpx.Response, status: int) -> str:
    """The words of a refusal, which has nothing else in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    words = answer.json()["error"]
    assert "Traceback" not in words
    assert "/tmp" not in words
    return words


def uploads_left() -> list[str]:
    return [str(path) for path in Path(os.environ.get("TMPDIR", "/tmp")).glob("regconv-upload-*")]
