"""A view as an address, there and back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.address import BadAddress, Visit, address_of, moment, shown_moment, visit_of
from ui.search_handlers import PAGE, Ask, Pick

NOWHERE = Path("/nowhere/at/all")
texts = st.text(min_size=1, max_size=20)
weights = st.sampled_from([1.0, -1.0, 0.25, 2.0, -0.5])
asks = st.builds(
    Ask,
    pictures=st.lists(st.builds(Pick, st.integers(1, 2**63 - 1), weights), max_size=4).map(tuple),
    words=st.lists(texts, max_size=3).map(tuple),
    like=st.none() | texts.filter(lambda kind: kind != "subject"),
    stages=st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=4).map(tuple),
    folder=st.none() | texts,
    after=st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda when: when.replace(microsecond=0)),
    camera=st.none() | texts,
    start=st.integers(0, 399).map(lambda page: page * PAGE),
)  # fmt: skip


@given(asks, st.sampled_from(["look", "why", "library"]))
def test_there_and_back(ask: Ask, tab: str) -> None:
    assert visit_of(address_of(Visit(ask, tab), NOWHERE), NOWHERE) == Visit(ask, tab)


def test_the_page_as_it_opens_has_no_address() -> None:
    assert address_of(Visit(Ask()), NOWHERE) == ""
    assert visit_of("", NOWHERE) == Visit(Ask(pictures=(), words=(), stages=()))


def test_an_address_is_read_by_people() -> None:
    ask = Ask((Pick(12), Pick(7, -1)), ("Bär",), "colour", (), "/photos/猫", datetime(2020, 5, 17), start=PAGE)
    assert address_of(Visit(ask, "why"), NOWHERE) == (
        "?photo=12&photo=7:-1&word=B%C3%A4r&like=colour&folder=/photos/%E7%8C%AB&after=2020-05-17&from=25&tab=why"
    )


def test_an_upload_is_found_again_while_it_is_kept(tmp_path: Path) -> None:
    upload = tmp_path / "ab12" / "Bär 猫.jpg"
    upload.parent.mkdir()
    upload.write_bytes(b"picture")
    address = address_of(Visit(Ask((Pick(str(upload), 0.5),))), tmp_path)
    assert "ab12" in address
    assert visit_of(address, tmp_path).ask.pictures == (Pick(str(upload), 0.5),)
    upload.unlink()
    with pytest.raises(BadAddress, match="not kept any more"):
        visit_of(address, tmp_path)


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "a/\0/b", "link.jpg", "link/secret.jpg"]
)
def test_no_other_file_can_be_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    uploads = tmp_path / "uploads"
    (uploads / "a").mkdir(parents=True)
    (uploads / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (uploads / "link").symlink_to(tmp_path)
    with pytest.raises(BadAddress, match="only pictures of the library"):
        visit_of(f"?upload={name}", uploads)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("?photo=0", "no number from 1"), ("?photo=-3", "no number"), ("?photo=1e3", "no number"), ("?photo=²", "no number"),
        ("?photo=1:nan", "weight"), ("?photo=1:1e9", "weight"), ("?mix=1,x", "mix"), ("?mix=-1", "mix"),
        ("?after=tomorrow", "no date"), ("?from=0", "from"), ("?from=99999", "from"),
        ("?" + "photo=1&" * 13, "at most 12"), ("?word=" + "x" * 9000, "longer"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(address: str, words: str) -> None:
    with pytest.raises(BadAddress, match=words):
        visit_of(address, NOWHERE)


@pytest.mark.parametrize(
    "name", ["a" * 300, "a/" * 2500, "%ff", "\ud800"], ids=["long", "deep", "no text", "half a sign"]
)
def test_an_upload_that_no_disk_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadAddress, match=r"not kept any more|may name only"):
        visit_of(f"?upload={name}", tmp_path)


def test_what_an_address_says_can_be_sent_to_a_page() -> None:
    ask = visit_of("?folder=/%ff&word=%ed%a0%80", NOWHERE).ask
    assert f"{ask.folder}{ask.words}".encode()
    assert address_of(Visit(Ask(words=("\udcff",))), NOWHERE) == "?word=%3F"


def test_an_early_year_can_be_typed_again() -> None:
    when = visit_of("?after=0033", NOWHERE).ask.after
    assert moment("after", shown_moment(when)) == when == datetime(33, 1, 1)


def test_the_kind_that_is_asked_for_anyway_need_not_be_said() -> None:
    assert visit_of("?photo=3&like=subject", NOWHERE) == Visit(Ask((Pick(3),)))


def test_unknown_fields_and_tabs_are_left_alone() -> None:
    assert visit_of("?__theme=dark&tab=cellar&photo=3", NOWHERE) == Visit(Ask((Pick(3),)))
