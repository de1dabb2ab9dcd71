"""The Stages tab's handlers: what every stage of a picture is, its channels by page, one channel, and files of a stage."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from index.library import Library
from regconv.cell_geometry import CellGrid, cell_grids
from ui import stage_files, stage_handlers, stage_maps
from ui.maps import RAMP
from ui.seeing_handlers import channel_photos
from ui.stage_handlers import PAGE, channel_page, channel_view, overview
from ui.stage_looks import StageLooks

NAMES = ["stem", "stage1", "stage2", "stage3", "stage4"]
SIDE = 144  # of the starter's prepared picture


@pytest.fixture(scope="module")
def looks() -> StageLooks:
    return StageLooks()


@pytest.fixture
def maps(library: Library, photo_ids: dict[str, int], looks: StageLooks) -> dict[str, np.ndarray]:
    """The maps of the astronaut by stage."""
    look = looks.of(library.follow(), photo_ids["astronaut.jpg"])
    return {name: stage.maps for name, stage in look.stages.items()}


def decoded(picture: tuple[bytes, str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture[0])).convert("RGB"))


def test_overview_has_every_stage_in_the_pictures_own_size(
    library: Library, photo_ids: dict[str, int], looks: StageLooks
) -> None:
    seen = overview(looks, library, photo_ids["astronaut.jpg"])
    assert (seen.problem, seen.title) == (None, "astronaut.jpg")
    assert seen.picture is not None
    assert seen.picture.shape == (SIDE, SIDE, 3)
    assert [stage.name for stage in seen.stages] == NAMES
    assert seen.stages[2].words == "96 channels, 18 x 18 cells, one cell every 8 pixels; each cell sees 31 x 31 pixels"
    assert seen.stages[4].words.endswith("each cell sees 303 x 303 pixels, more than the picture has")
    for stage in seen.stages:
        for picture in (stage.mean, stage.colours):
            assert decoded(picture).shape == (SIDE, SIDE, 3)
            assert len(picture[0]) <= stage_handlers.OVERVIEW_BYTES


def test_a_bright_patch_is_bright_at_its_own_place_in_the_stem(tmp_path: Path, library: Library) -> None:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[40:56, 96:120] = np.random.default_rng(0).integers(0, 255, (16, 24, 3))
    Image.fromarray(picture).save(tmp_path / "patch.png")
    prepared = overview(StageLooks(), library, str(tmp_path / "patch.png"))
    assert prepared.picture is not None
    colours = decoded(prepared.stages[0].colours).astype(int)
    moved = np.abs(colours - colours[20, 20]).sum(axis=2) > 30
    moved[[0, 1, -2, -1]], moved[:, [0, 1, -2, -1]] = False, False  # the picture's edge is one to the network, too
    lit = prepared.picture.max(axis=2) > 30
    rows, columns = np.nonzero(moved)
    true_rows, true_columns = np.nonzero(lit)
    for found, true in ((rows, true_rows), (columns, true_columns)):
        assert abs(found.min() - true.min()) <= 3
        assert abs(found.max() - true.max()) <= 3


def test_pages_hold_every_channel_once_the_strongest_first(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, maps: dict[str, np.ndarray]
) -> None:
    photo = photo_ids["astronaut.jpg"]
    pages = [channel_page(looks, library, photo, "stage3", number=number) for number in range(8)]
    assert {(page.pages, page.channels, page.problem) for page in pages} == {(8, 256, None)}
    tiles = [tile for page in pages for tile in page.tiles]
    assert sorted(tile.channel for tile in tiles) == list(range(256))
    means = [tile.mean for tile in tiles]
    assert means == sorted(means, reverse=True)
    for tile in tiles[::50]:
        assert tile.mean == pytest.approx(maps["stage3"][tile.channel].mean(), rel=1e-5)
    assert [page.first for page in pages] == list(range(0, 256, PAGE))
    assert channel_page(looks, library, photo, "stage3", number=10**9).number == 7
    assert channel_page(looks, library, photo, "stage3", number=-5).number == 0


def test_a_tile_shows_its_own_cells_where_they_lie(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, maps: dict[str, np.ndarray]
) -> None:
    tile = channel_page(looks, library, photo_ids["astronaut.jpg"], "stage4").tiles[3]
    cells = maps["stage4"][tile.channel]
    light = decoded(tile.picture) @ np.array([0.2126, 0.7152, 0.0722])
    grid = cell_grids(library.description.config)["stage4"]
    pixels = (grid.first + np.arange(5) * grid.stride).clip(0, SIDE - 1).astype(int)
    assert np.corrcoef(light[np.ix_(pixels, pixels)].ravel(), cells.ravel())[0, 1] > 0.98
    assert np.unravel_index(light[np.ix_(pixels, pixels)].argmax(), (5, 5)) == np.unravel_index(cells.argmax(), (5, 5))


def test_unusual_first_says_in_how_many_photos_it_is_lower(
    library: Library, photo_ids: dict[str, int], looks: StageLooks
) -> None:
    photo = photo_ids["moon.jpg"]
    page = channel_page(looks, library, photo, "stage4", "unusual")
    shares = [tile.higher_than for tile in page.tiles]
    assert shares[0] == 1.0
    assert shares == sorted(shares, key=lambda share: -(share or 0))
    top = page.tiles[0].channel
    assert channel_view(looks, library, photo, "stage4", top).higher_than == 1.0
    assert channel_photos(library, top, "stage4", 1).hits[0].name == "moon.jpg"
    stem = channel_page(looks, library, photo, "stem", "unusual")
    assert "keeps no means of the stem" in (stem.hint or "")
    assert [tile.channel for tile in stem.tiles] == [
        tile.channel for tile in channel_page(looks, library, photo, "stem").tiles
    ]


def test_a_channels_numbers_are_those_of_its_map(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, maps: dict[str, np.ndarray]
) -> None:
    photo = photo_ids["astronaut.jpg"]
    strongest = channel_view(looks, library, photo, "stage2")
    assert strongest.rank == 1
    assert strongest.channel == maps["stage2"].mean(axis=(1, 2)).argmax()
    view = channel_view(looks, library, photo, "stage2", 17)
    cells = maps["stage2"][17]
    assert (view.mean, view.lowest, view.highest) == pytest.approx((cells.mean(), cells.min(), cells.max()))
    assert view.above_zero == (cells > 0).mean()
    assert cells[view.highest_cell] == cells.max()
    assert view.rank == 1 + (maps["stage2"].mean(axis=(1, 2)) > cells.mean()).sum()
    assert (sum(view.histogram), view.cells, view.channels) == (324, 324, 96)
    assert decoded(view.map).shape == (SIDE, SIDE, 3)


def test_a_page_or_a_click_does_not_run_the_network(
    library: Library, photo_ids: dict[str, int], photo_folder: Path, tmp_path: Path
) -> None:
    looks = StageLooks()
    photo = photo_ids["coffee.jpg"]
    overview(looks, library, photo)
    for stage in NAMES:
        channel_page(looks, library, photo, stage, "unusual", 1)
        channel_view(looks, library, photo, stage, 3)
    assert looks.made == 1
    file = tmp_path / "query.jpg"
    for name in ("moon.jpg", "retina.jpg"):  # the same name, another file
        file.write_bytes((photo_folder / name).read_bytes())
        before = overview(looks, library, str(file)).picture
    assert looks.made == 3
    after = overview(looks, library, photo_ids["retina.jpg"]).picture
    assert (before == after).all()


def test_looks_are_kept_within_their_memory_the_last_used_longest(library: Library, photo_ids: dict[str, int]) -> None:
    ids = [photo_ids[name] for name in ("coffee.jpg", "moon.jpg", "rocket.jpg")]
    handle = library.follow()
    one = StageLooks().of(handle, ids[0]).bytes_kept
    assert 1e6 < one < 2e6
    looks = StageLooks(most_bytes=2 * one)
    for photo in (ids[0], ids[1], ids[0], ids[2], ids[0]):
        looks.of(handle, photo)
    assert looks.made == 3
    looks.of(handle, ids[1])  # was dropped
    assert looks.made == 4
    tiny = StageLooks(most_bytes=1)
    tiny.of(handle, ids[0])
    tiny.of(handle, ids[0])  # the last one is always kept
    assert tiny.made == 1


@pytest.mark.parametrize(
    ("picture", "stage", "channel", "words"),
    [
        ("coffee.jpg", "stage9", 0, "There is no stage 'stage9' in this network. It has stem, stage1,"),
        ("coffee.jpg", "../etc", 0, "There is no stage '../etc'"),
        ("coffee.jpg", "stage1", 48, "It has channels 0 to 47."),
        ("coffee.jpg", "stage1", -1, "There is no channel -1"),
        (10**6, "stage1", 0, "There is no photo with the number 1000000"),
        ("broken.jpg", "stage1", 0, "broken.jpg could not be read as a picture: the file ends early."),
    ],
)
def test_what_cannot_be_shown_is_said(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, picture: Any, stage: str, channel: int, words: str
) -> None:
    picture = photo_ids.get(picture, picture)
    assert words in (channel_view(looks, library, picture, stage, channel).problem or "")
    if channel == 0:
        assert words in (channel_page(looks, library, picture, stage).problem or "")
        assert words in (stage_files.stage_file(looks, library, picture, stage, "value", "npz").problem or "")


def test_unknown_orders_and_kinds_and_files_that_are_gone(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, tmp_path: Path
) -> None:
    photo = photo_ids["coffee.jpg"]
    assert "no order 'x'" in (channel_page(looks, library, photo, "stage1", "x").problem or "")
    assert "no file of kind 'exe'" in (
        stage_files.stage_file(looks, library, photo, "stage1", "value", "exe").problem or ""
    )
    gone = overview(looks, library, str(tmp_path / "gone.jpg")).problem or ""
    assert gone.startswith("gone.jpg could not be read as a picture: ")
    assert str(tmp_path) not in gone


def test_weights_that_give_no_numbers_are_refused(
    library: Library, photo_ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    features = library.backbone.features

    def broken(pictures: np.ndarray) -> Any:
        found = features(pictures)
        found.stages[1][0, 5, 3, 3] = np.nan
        return found

    monkeypatch.setattr(library.backbone, "features", broken)
    problem = overview(StageLooks(), library, photo_ids["coffee.jpg"]).problem
    assert problem == "stage2 has values that are not finite; bad weights?"


def test_an_empty_library_compares_with_nothing(empty_library: Library, photo_folder: Path) -> None:
    looks = StageLooks()
    page = channel_page(looks, empty_library, str(photo_folder / "moon.jpg"), "stage2", "unusual")
    assert "no other photos to compare with yet" in (page.hint or "")
    assert page.tiles[0].mean == max(tile.mean for tile in page.tiles)
    assert channel_view(looks, empty_library, str(photo_folder / "moon.jpg"), "stage2").higher_than is None


def test_npz_holds_the_maps_with_names_that_it_explains(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, maps: dict[str, np.ndarray]
) -> None:
    made = stage_files.stage_file(looks, library, photo_ids["astronaut.jpg"], "stage3", "unusual", "npz")
    assert made.name == "astronaut-stage3.npz"
    with np.load(io.BytesIO(made.data), allow_pickle=False) as arrays:
        assert arrays["maps"].dtype == np.float32
        assert (arrays["maps"] == maps["stage3"]).all()
        assert arrays["means"] == pytest.approx(maps["stage3"].mean(axis=(1, 2)))
        assert sorted(arrays["order"].tolist()) == list(range(256))
        page = channel_page(looks, library, photo_ids["astronaut.jpg"], "stage3", "unusual")
        assert arrays["order"][:PAGE].tolist() == [tile.channel for tile in page.tiles]
        assert arrays["picture"].shape == (SIDE, SIDE, 3)
        assert (float(arrays["first"]), int(arrays["stride"])) == (0.0, 16)
        assert [str(arrays[name]) for name in ("model", "stage", "photo")] == ["starter", "stage3", "astronaut.jpg"]
        about = str(arrays["about"])
        assert all(name in about for name in set(arrays.files) - {"about"})


def test_png_holds_every_channel_in_order(
    library: Library, photo_ids: dict[str, int], looks: StageLooks, maps: dict[str, np.ndarray]
) -> None:
    made = stage_files.stage_file(looks, library, photo_ids["astronaut.jpg"], "stage4", "value", "png")
    image = Image.open(io.BytesIO(made.data))
    listed = [int(one) for one in image.info["Description"].rpartition("row by row, ")[2].split(", ")]
    assert listed == np.argsort(-maps["stage4"].mean(axis=(1, 2)), kind="stable").tolist()
    assert image.size == (23 * 160 + 22 * 4, 23 * 160 + 22 * 4)  # 512 of 5 x 5 cells, 32 pixels each
    light = np.asarray(image.convert("RGB")) @ np.array([0.2126, 0.7152, 0.0722])
    for place in (0, 100, 300):
        top, left = place // 23 * 164 + 16, place % 23 * 164 + 16
        cells = maps["stage4"][listed[place]]
        assert np.corrcoef(light[top : top + 160 : 32, left : left + 160 : 32].ravel(), cells.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", ["Bär 猫.jpg", "<img src=x>.jpg", "..jpg", "a" * 200 + ".jpg"])
def test_names_of_files_are_plain(name: str, library: Library, photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((photo_folder / "moon.jpg").read_bytes())
    made = stage_files.stage_file(StageLooks(), library, str(tmp_path / name), "stage1", "value", "npz")
    assert made.problem is None
    assert made.name.endswith("-stage1.npz")
    assert len(made.name.encode()) < 255
    assert not set(made.name) & set('<>/\\"$ ')
    assert ("猫" in made.name) == ("猫" in name)


class TestMaps:
    def test_aligned_cells_are_the_nearest_and_large_pictures_are_not_blown_up(self) -> None:
        cells = np.arange(4, dtype=np.uint8).reshape(2, 2)
        laid = stage_maps.aligned(cells, CellGrid(3.5, 8), 16)
        assert laid.shape == (16, 16)
        assert (laid[:8, :8], laid[8:, 8:]) == (pytest.approx(0), pytest.approx(3))
        assert stage_maps.aligned(np.zeros((96, 96, 3), np.uint8), CellGrid(1.5, 4), 384).shape == (256, 256, 3)

    def test_colours_follow_the_principal_components(self) -> None:
        random = np.random.default_rng(1)
        cells = random.normal(size=(400, 5)) @ (np.diag([9, 5, 3, 0.4, 0.2]) @ random.normal(size=(5, 30)))
        maps = cells.T.reshape(30, 20, 20).astype(np.float32)
        colours = stage_maps.leading_colours(maps).reshape(-1, 3).astype(float)
        centred = cells - cells.mean(axis=0)
        left, _, right = np.linalg.svd(centred, full_matrices=False)
        for number in range(3):
            expected = left[:, number] * np.sign(right[number].sum())
            assert np.corrcoef(colours[:, number], expected)[0, 1] > 0.99
        assert (colours == stage_maps.leading_colours(maps).reshape(-1, 3)).all()

    @pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (40, 3, 1), (3, 50, 50)])
    def test_colours_of_any_shape_and_of_nothing(self, shape: tuple[int, ...]) -> None:
        maps = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        assert stage_maps.leading_colours(maps).shape == (*shape[1:], 3)
        flat = stage_maps.leading_colours(np.ones(shape, np.float32))
        assert len(np.unique(flat)) == 1

    def test_noise_is_made_to_fit_and_what_fits_is_exact(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
        data, kind = stage_maps.light(noise, stage_handlers.TILE_BYTES)
        assert kind == "webp"
        assert len(data) <= stage_handlers.TILE_BYTES
        coarse = noise[:16, :16].repeat(16, axis=0).repeat(16, axis=1)
        data, kind = stage_maps.light(coarse, stage_handlers.TILE_BYTES)
        assert kind == "png"
        assert (decoded((data, kind)) == RAMP[coarse]).all()

    def test_a_sheet_of_the_widest_stage_stays_bounded(self) -> None:
        for shape in ((2020, 56, 56), (28280, 7, 7), (32, 192, 192)):
            sheet = stage_maps.whole_sheet(np.zeros(shape, np.uint8))
            assert sheet.size <= stage_maps.SHEET_PIXELS
            assert sheet.size >= min(np.prod(shape), stage_maps.SHEET_PIXELS // 8)


def test_kept_files_are_followed_by_the_time_they_changed(library: Library, photo_folder: Path, tmp_path: Path) -> None:
    looks, file = StageLooks(), tmp_path / "same.jpg"
    file.write_bytes((photo_folder / "moon.jpg").read_bytes())
    looks.of(library.follow(), str(file))
    os.utime(file, ns=(1, 1))
    looks.of(library.follow(), str(file))
    assert looks.made == 2
