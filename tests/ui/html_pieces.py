"""Pieces of HTML taken apart, and words that would do harm where nobody minds them."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&${1}\udcff"


class Tags(HTMLParser):
    """The tags and attributes of a piece of HTML, which must be balanced."""

    VOID = ("img", "br", "input")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def must_be_words_only(source: str) -> None:
    """That what is HOSTILE came through as words: no script, no handler, nothing that no response can be encoded with."""
    source.encode()
    parsed = Tags(source)
    assert "script" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert all(value != "x" for name, value in parsed.attributes if name == "src")
