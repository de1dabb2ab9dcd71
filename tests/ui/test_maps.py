import io

import numpy as np
import pytest
from PIL import Image

from regconv.backbone import StageInfo
from ui.maps import BETWEEN, RAMP, encoded, stage_picture, stage_sheet, stage_sheets, stage_words, strongest


def test_ramp_rises_evenly_from_dark_to_light():
    brightness = RAMP @ np.array([0.2126, 0.7152, 0.0722])
    assert RAMP.shape == (256, 3)
    assert brightness[0] < 25
    assert brightness[-1] > 235
    assert (np.diff(brightness) > 0).all()


def test_strongest_channels_come_first_and_ties_keep_their_order():
    maps = np.zeros((5, 3, 3), np.float32)
    maps[3] += 2
    maps[1] += 1
    assert strongest(maps, 3).tolist() == [3, 1, 0]
    assert strongest(maps, 99).tolist() == [3, 1, 0, 2, 4]


def test_strongest_survives_values_that_are_not_numbers():
    maps = np.ones((3, 2, 2), np.float32)
    maps[0] = np.nan
    maps[1] = np.inf
    assert strongest(maps, 1).tolist() == [2]


def test_sheet_has_its_size_and_shows_cells_as_blocks():
    maps = np.zeros((1, 2, 2), np.float32)
    maps[0, 0, 1] = 1.0
    picture = stage_picture(maps, tile=40)
    assert picture.shape == (40, 40, 3)
    assert (picture[:20, 20:] == RAMP[255]).all()
    assert (picture[20:] == RAMP[0]).all()


def test_sheet_of_many_channels_is_a_grid_with_lines_between():
    maps = np.random.default_rng(0).normal(size=(40, 7, 7)).astype(np.float32)
    picture = stage_picture(maps, count=16, columns=4, tile=28, gap=2)
    assert picture.shape == (4 * 28 + 3 * 2, 4 * 28 + 3 * 2, 3)
    assert (picture[28:30] == BETWEEN).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 9), (112, 112), (200, 50)])
@pytest.mark.parametrize("channels", [1, 3, 17])
def test_sheet_of_any_shape(channels: int, height: int, width: int):
    maps = np.random.default_rng(1).normal(size=(channels, height, width)).astype(np.float32)
    picture = stage_picture(maps, tile=30, gap=1)
    assert picture.dtype == np.uint8
    columns, rows = min(4, channels), -(-min(16, channels) // 4)
    tile_high, tile_wide = (
        max(1, round(30 * height / max(height, width))),
        max(1, round(30 * width / max(height, width))),
    )
    assert picture.shape == (rows * (tile_high + 1) - 1, columns * (tile_wide + 1) - 1, 3)


def test_each_map_has_its_own_contrast_but_noise_is_not_blown_up():
    maps = np.zeros((3, 4, 4), np.float32)
    maps[0, 0, 0] = 100.0
    maps[1, 0, 0] = 20.0  # weaker, still a map of its own
    maps[2, 0, 0] = 0.001  # nothing next to the others
    picture = stage_picture(maps, columns=3, tile=4, gap=0)
    assert (picture[0, 0] == RAMP[255]).all()
    assert (picture[0, 4] == RAMP[255]).all()
    assert (picture[0, 8] == RAMP[0]).all()


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan, np.inf])
def test_constant_and_broken_maps_are_dark_and_do_not_fail(value: float):
    picture = stage_picture(np.full((4, 5, 5), value, np.float32), tile=10, gap=0)
    assert (picture == RAMP[0]).all()


def test_words():
    assert stage_words("stage 2", 56, 28, 28, 8) == "stage 2: 56 channels, 28 x 28 cells, one cell every 8 pixels"
    assert stage_words("stem", 1, 1, 1, 1) == "stem: 1 channel, 1 x 1 cell, one cell for every pixel"
    assert stage_words("stage 4", 1088, 3, 7, 32) == "stage 4: 1,088 channels, 7 x 3 cells, one cell every 32 pixels"


def test_sheets_of_a_network_carry_names_numbers_and_shown_channels():
    stem, stage = np.ones((1, 4, 8, 8), np.float32), np.ones((1, 6, 4, 4), np.float32)
    stage[0, 5] = 9
    sheets = stage_sheets(stem, (stage,), [StageInfo("stem", 4, 2), StageInfo("stage1", 6, 4)], count=2)
    assert [sheet.name for sheet in sheets] == ["stem", "stage 1"]
    assert (sheets[1].channels, sheets[1].height, sheets[1].width, sheets[1].stride) == (6, 4, 4, 4)
    assert sheets[1].shown == (5, 0)
    assert sheets[1].words == "stage 1: 6 channels, 4 x 4 cells, one cell every 4 pixels"


def test_names_of_other_networks_are_spoken_too():
    assert stage_sheet(np.ones((1, 2, 2), np.float32), "stage_12", 4).name == "stage 12"


def test_encoded_png_is_lossless():
    picture = stage_picture(np.random.default_rng(2).normal(size=(3, 5, 5)).astype(np.float32))
    assert (np.asarray(Image.open(io.BytesIO(encoded(picture)))) == picture).all()
    assert Image.open(io.BytesIO(encoded(picture, "WEBP"))).size == picture.shape[1::-1]
