import os
from pathlib import Path

import pytest

from index.job import index_folder
from index.library import Library
from index.runner import Runner
from ui import handlers
from ui.handlers import LookResult


def names(result: LookResult) -> list[str]:
    return [hit.name for hit in result.hits]


def test_an_uploaded_picture_gives_labels_maps_and_neighbours(library: Library, photo_folder: Path):
    result = handlers.look_at_upload(library, str(photo_folder / "chelsea-again.jpg"), "my cat.jpg")
    assert result.problem is None
    assert result.title == "my cat.jpg"
    assert result.labels
    assert 0 < result.labels[0][1] <= 1
    assert [sheet.name for sheet in result.sheets] == ["stem", "stage 1", "stage 2", "stage 3", "stage 4"]
    assert result.saw is not None
    assert result.saw.shape == (library.description.recipe.size, library.description.recipe.size, 3)
    assert set(names(result)[:2]) == {"chelsea-again.jpg", "chelsea.jpg"}
    assert result.hits[0].score == pytest.approx(1, abs=1e-3)
    assert result.exact


def test_a_photo_of_the_library_finds_its_copy_first_and_not_itself(library: Library, photo_ids: dict[str, int]):
    result = handlers.look_at_photo(library, photo_ids["coffee.jpg"])
    assert names(result)[0] == "coffee-again.jpg"
    assert "coffee.jpg" not in names(result)
    assert len(result.sheets) == 5


def test_an_unreadable_upload_is_refused_in_words(library: Library, photo_folder: Path):
    result = handlers.look_at_upload(library, str(photo_folder / "broken.jpg"), "holiday.jpg")
    assert result.problem == "holiday.jpg could not be read as a picture: the file ends early."
    assert (result.labels, result.sheets, result.hits) == ([], [], [])


def test_photos_that_are_unknown_or_unreadable_are_refused_in_words(library: Library, photo_ids: dict[str, int]):
    assert (
        handlers.look_at_photo(library, 10**9).problem
        == "There is no photo with the number 1000000000 in this library any more."
    )
    assert (
        handlers.look_at_photo(library, photo_ids["broken.jpg"]).problem
        == "broken.jpg could not be read: the file ends early."
    )


def test_an_empty_library_shows_labels_and_maps_and_says_what_to_do(empty_library: Library, photo_folder: Path):
    result = handlers.look_at_upload(empty_library, str(photo_folder / "moon.jpg"))
    assert result.labels
    assert len(result.sheets) == 5
    assert result.hits == []
    assert result.hint == handlers.EMPTY_LIBRARY


def test_the_machine_says_what_works(library: Library):
    machine = handlers.machine(library)
    assert (machine.model, machine.device, machine.problem) == ("starter", "cpu", None)
    assert machine.engine
    assert machine.faiss.startswith(("cpu", "gpu"))


def test_a_view_is_an_upright_jpeg(library: Library, photo_ids: dict[str, int]):
    view = handlers.view_of_photo(library, photo_ids["lying.jpg"], max_side=64)
    assert view is not None
    assert view.startswith(b"\xff\xd8")
    assert handlers.view_of_photo(library, 10**9) is None


def test_a_photo_whose_file_is_out_of_reach_still_finds_its_neighbours(
    empty_library: Library, photo_folder: Path, tmp_path: Path
):
    folder = tmp_path / "disk"
    folder.mkdir()
    for name in ("moon.jpg", "coffee.jpg", "coffee-again.jpg"):
        (folder / name).write_bytes((photo_folder / name).read_bytes())
    runner = Runner(empty_library)
    runner.start([str(folder)])
    runner.wait(60)
    ids = {Path(photo.path).name: photo.id for photo in empty_library.catalog.photos_in("present", 9)}
    (folder / "coffee.jpg").unlink()
    result = handlers.look_at_photo(empty_library, ids["coffee.jpg"])
    assert names(result)[0] == "coffee-again.jpg"
    assert str(result.problem).startswith("The file can't be read now: ")
    assert result.labels
    assert result.sheets == []
    assert handlers.view_of_photo(empty_library, ids["coffee.jpg"]) is not None  # the thumbnail stands in


@pytest.mark.skipif("REGCONV_DATA" not in os.environ, reason="REGCONV_DATA names no folder with real photos")
def test_hostile_uploads_are_shown_or_refused(library: Library):
    files = sorted(Path(os.environ["REGCONV_DATA"], "nasty").glob("*/*"))
    files = [file for file in files if file.parent.name in ("bomb", "corrupt") and file.is_file()]
    assert files
    for file in files:
        result = handlers.look_at_upload(library, str(file), file.name)
        assert result.sheets or str(result.problem).startswith(f"{file.name} could not be read"), file


def test_a_photo_is_taught_a_word_and_what_was_taught_is_shown(empty_library: Library, photo_folder: Path):
    for _ in index_folder(empty_library, [str(photo_folder)]):
        pass
    ids = {Path(photo.path).name: photo.id for photo in empty_library.catalog.photos_in("present", 20)}
    assert handlers.look_at_upload(empty_library, str(photo_folder / "moon.jpg")).own == []
    first = handlers.teach_word(empty_library, ids["chelsea.jpg"], " cat ")
    assert (first.problem, first.own) == (None, [])
    assert (
        first.words
        == "chelsea.jpg marked. cat: 1 photo. Teach another photo a second word: it takes two to tell apart."
    )
    second = handlers.teach_word(empty_library, ids["coffee.jpg"], "cup")
    assert second.words.startswith("coffee.jpg marked. cup: 1 photo. More photos")
    assert {word for word, _ in second.own} >= {"cat", "cup"}
    own = handlers.look_at_upload(empty_library, str(photo_folder / "chelsea-again.jpg")).own
    assert next(word for word, _ in own if word) == "cat"
    assert next(word for word, _ in handlers.look_at_photo(empty_library, ids["coffee-again.jpg"]).own if word) == "cup"


def test_words_and_photos_that_can_not_be_taught_are_refused_in_words(library: Library, photo_ids: dict[str, int]):
    assert "is no word" in str(handlers.teach_word(library, photo_ids["moon.jpg"], "  ").problem)
    assert "no photo with the id" in str(handlers.teach_word(library, 10**9, "cat").problem)
    assert "broken.jpg" in str(handlers.teach_word(library, photo_ids["broken.jpg"], "cat").problem)
    assert library.catalog.words() == {}
