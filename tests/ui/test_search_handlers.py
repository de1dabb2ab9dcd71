"""What the page's search does, on plain values."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from index.job import index_folder
from index.library import Library
from ui.search_handlers import Ask, Pick, folders, search, words


@pytest.fixture(scope="module")
def crowd(library_folder: Path, photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library of 36 different photos, one of them in four files: crops of the sample's."""
    folder = tmp_path_factory.mktemp("crowd")
    for name in ("coffee.jpg", "moon.jpg", "chelsea.jpg"):
        with Image.open(photo_folder / name) as picture:
            width, height = picture.size
            for at in range(12):
                left, top = (at % 4) * width // 8, (at // 4) * height // 8
                box = (left, top, left + width // 2, top + height // 2)
                picture.crop(box).convert("RGB").save(folder / f"{name[:-4]}-{at}.png")
    for copy in ("copy-1", "copy-2", "copy-3"):
        shutil.copyfile(folder / "moon-0.png", folder / f"{copy}.png")
    with Library.open(folder / "library", model="starter", create=True) as library:
        list(index_folder(library, [str(folder)]))
        yield library


def ids(library: Library) -> dict[str, int]:
    return {Path(photo.path).stem: photo.id for photo in library.catalog.photos_in("present", 99)}


def test_a_page_follows_a_page_with_copies_folded(crowd: Library) -> None:
    known = ids(crowd)
    first = search(crowd, Ask([Pick(known["coffee-0"])], count=20))
    second = search(crowd, Ask([Pick(known["coffee-0"])], start=20, count=20))
    assert (len(first.pictures), first.more) == (20, True)
    assert (len(second.pictures), second.more) == (15, False)
    pictures = first.pictures + second.pictures
    shown = {picture.photo_id for picture in pictures} | {copy for picture in pictures for copy in picture.copies}
    assert shown == set(known.values()) - {known["coffee-0"]}
    folded = [picture for picture in pictures if picture.copies]
    assert [{folded[0].photo_id, *folded[0].copies}] == [
        {known[name] for name in ("moon-0", "copy-1", "copy-2", "copy-3")}
    ]
    scores = [picture.score for picture in pictures]
    assert scores == sorted(scores, reverse=True)
    assert search(crowd, Ask([Pick(known["coffee-0"])], start=90)).pictures == []


def test_scores_have_a_meaning_for_one_picture(crowd: Library, photo_folder: Path) -> None:
    known = ids(crowd)
    found = search(crowd, Ask([Pick(str(photo_folder / "coffee.jpg"))], count=36))
    assert all("unrelated pairs look this alike" in (picture.meaning or "") for picture in found.pictures)
    beyond = [picture.beyond_chance for picture in found.pictures]
    assert beyond == sorted(beyond, reverse=True), "first those that say something"
    several = search(crowd, Ask([Pick(known["coffee-0"]), Pick(known["moon-0"], -1)]))
    assert {picture.meaning for picture in several.pictures} == {None}
    assert several.unknown is None


def test_a_small_library_says_that_it_is_too_small_for_a_meaning(library: Library, photo_ids: dict[str, int]) -> None:
    found = search(library, Ask([Pick(photo_ids["coffee.jpg"])]))
    assert found.pictures
    assert found.pictures[0].meaning is None
    assert "30 different photos" in (found.unknown or "")


def test_words_find_and_narrow(crowd: Library) -> None:
    known = ids(crowd)
    listed = words(crowd)
    word = listed[0][0].split(",")[0]
    assert (word, listed[0][2]) in [(one.split(",")[0], kind) for one, _, kind in words(crowd, word[:2], 5)]
    alone = search(crowd, Ask(words=[word], count=99))
    beside = search(crowd, Ask([Pick(known["coffee-0"])], words=[word], count=99))
    assert len(alone.pictures) >= listed[0][1] - 3  # the moon's copies are one content
    assert {picture.photo_id for picture in beside.pictures} <= {picture.photo_id for picture in alone.pictures}


def test_what_kind_of_similar_changes_the_answer(crowd: Library) -> None:
    known = ids(crowd)
    orders = {
        str(ask): [picture.photo_id for picture in search(crowd, ask).pictures]
        for ask in (
            Ask([Pick(known["coffee-0"])]), Ask([Pick(known["coffee-0"])], like="colour"),
            Ask([Pick(known["coffee-0"])], stages=[0, 1, 1, 0]),
        )
    }  # fmt: skip
    assert len({tuple(order) for order in orders.values()}) == 3


@pytest.mark.parametrize(
    ("ask", "problem"),
    [
        (Ask(), "Say what to find"),
        (Ask([Pick(1, -1)]), "Say what to find"),
        (Ask([Pick(10**9)]), "no photo with the id"),
        (Ask([Pick(1)], like="smell"), "no preset 'smell'"),
        (Ask([Pick(1)], like="colour", stages=[1, 0, 0, 0]), "give one of them"),
        (Ask([Pick(1)], stages=[1]), "Expected 4 weights"),
        (Ask(words=["qqqq"]), "in it"),
        (Ask([Pick("/nowhere.jpg")]), "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_said_in_words(crowd: Library, ask: Ask, problem: str) -> None:
    found = search(crowd, ask)
    assert problem in (found.problem or "")
    assert found.pictures == []


def test_a_file_that_cannot_be_read_is_named_without_its_folders(crowd: Library, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    problem = search(crowd, Ask([Pick(str(broken))])).problem or ""
    assert problem.startswith("broken.jpg could not be read as a picture")
    assert str(tmp_path) not in problem


def test_nothing_found_says_why(crowd: Library, empty_library: Library, photo_folder: Path) -> None:
    assert "none with folder" in (search(crowd, Ask([Pick(1)], folder="/nowhere")).hint or "")
    assert "empty" in (search(empty_library, Ask([Pick(str(photo_folder / "moon.jpg"))])).hint or "")


def test_folders_whose_names_are_no_text_are_not_offered(crowd: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    known = [("/猫", 2), ("/B\udce4ren", 1), ("/z", 1)]
    monkeypatch.setattr("ui.search_handlers.folders_of", lambda library: known)
    assert folders(crowd, 2) == [("/猫", 2), ("/z", 1)]
