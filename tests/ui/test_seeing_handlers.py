"""Why and channels as the page's events ask for them: plain values, refusals in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.library import Library
from ui import seeing_handlers as handlers


def test_two_photos_explained_part_by_part(library: Library, photo_ids: dict[str, int]) -> None:
    result = handlers.why(library, photo_ids["coffee.jpg"], photo_ids["rocket.jpg"])
    assert result.problem is None
    assert {view.cell_picture for view in result.views} == {None}
    assert [view.name for view in result.views] == ["stage 1", "stage 2", "stage 3", "stage 4"]
    assert result.part == "stage4"
    assert result.without_vector == []
    for view in result.views:
        assert view.first.sum() + view.constants[0] == pytest.approx(view.cosine, abs=1e-5)
        assert view.second.sum() + view.constants[1] == pytest.approx(view.cosine, abs=1e-5)
        assert view.stored_cosine == pytest.approx(view.cosine, abs=1e-3)
        assert view.picture.dtype == np.uint8
        assert view.picture.shape[2] == 3
        assert len(view.cells) == 3
        for cell in view.cells:
            assert cell.over_second.sum() + cell.constant == pytest.approx(cell.share)


def test_an_upload_beside_a_photo_and_one_cell_of_one_part(
    library: Library, photo_ids: dict[str, int], photo_folder: Path
) -> None:
    upload = str(photo_folder / "coffee-again.jpg")
    result = handlers.why(library, upload, photo_ids["coffee.jpg"], part="stage3", cell=(4, 2))
    assert [view.part for view in result.views] == ["stage3"]
    assert result.views[0].cosine > 0.98
    assert [cell.cell for cell in result.views[0].cells] == [(4, 2)]
    picture = result.views[0].cell_picture
    assert picture is not None
    assert picture.shape == result.views[0].picture.shape
    of_all = handlers.why(library, upload, photo_ids["coffee.jpg"], cell=(4, 2))
    assert [view.part for view in of_all.views if view.cell_picture is not None] == ["stage4"]


def test_what_cannot_be_explained_is_said_without_a_path(
    library: Library, photo_ids: dict[str, int], photo_folder: Path
) -> None:
    cat = photo_ids["chelsea.jpg"]
    assert handlers.why(library, cat, 10**6).problem == "There is no photo with the id 1000000 in this library."
    assert "It has stage1, stage2, stage3, stage4." in (handlers.why(library, cat, cat, "pooled").problem or "")
    assert "rows 0 to 4" in (handlers.why(library, cat, cat, cell=(7, 7)).problem or "")
    for broken in (str(photo_folder / "broken.jpg"), photo_ids["broken.jpg"]):
        result = handlers.why(library, cat, broken)
        assert result.problem == "broken.jpg could not be read as a picture: the file ends early."
        assert result.views == []


def test_the_photos_of_a_channel_and_the_channels_of_a_photo_agree(library: Library, photo_ids: dict[str, int]) -> None:
    strongest = handlers.picture_channels(library, photo_ids["moon.jpg"], by="unusual")
    assert strongest.problem is None
    assert strongest.stage == "stage4"
    assert len(strongest.channels) == handlers.SHOWN
    channel, value, higher_than = strongest.channels[0]
    assert higher_than == 1.0
    result = handlers.channel_photos(library, channel)
    assert (result.stage, result.channel, result.hint, result.problem) == ("stage4", channel, None, None)
    assert result.hits[0].name == "moon.jpg"
    assert result.hits[0].value == pytest.approx(value)
    assert result.hits[1].name == "moon-again.jpg"
    assert [hit.value for hit in result.hits] == sorted((hit.value for hit in result.hits), reverse=True)


def test_channels_of_an_upload(library: Library, photo_folder: Path) -> None:
    result = handlers.picture_channels(library, str(photo_folder / "retina-again.jpg"), "stage2", k=5)
    values = [value for _, value, _ in result.channels]
    assert len(values) == 5
    assert values == sorted(values, reverse=True)


def test_channels_that_are_not_there_and_files_that_cannot_be_read(library: Library, photo_folder: Path) -> None:
    assert "It has channels 0 to 511." in (handlers.channel_photos(library, 512).problem or "")
    assert "It has stage1, stage2, stage3, stage4." in (handlers.channel_photos(library, 0, "stem").problem or "")
    assert "no photo with the id" in (handlers.picture_channels(library, 10**6).problem or "")
    broken = handlers.picture_channels(library, str(photo_folder / "broken.jpg"))
    assert broken.problem == "broken.jpg could not be read as a picture: the file ends early."


def test_an_empty_library_has_words_for_it(empty_library: Library, tmp_path: Path) -> None:
    result = handlers.channel_photos(empty_library, 3)
    assert (result.hits, result.problem) == ([], None)
    assert "the library is empty" in (result.hint or "")
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "red.png")
    strongest = handlers.picture_channels(empty_library, str(tmp_path / "red.png"), by="unusual")
    assert {higher for _, _, higher in strongest.channels} == {None}
    alike = handlers.why(empty_library, str(tmp_path / "red.png"), str(tmp_path / "red.png"))
    assert alike.problem is None
    assert {view.stored_cosine for view in alike.views} == {None}
