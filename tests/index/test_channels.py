"""Channel search over the colour library, whose channels are red, green and blue: anyone can check what is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.channels import SAMPLE, photos_of_channel, stage_of, strongest_channels
from index.errors import LibraryError
from index.library import Library
from regconv.errors import UnreadableImage
from storage.records import Filter

RED, GREEN, BLUE = range(3)
Fill = Callable[..., list[int]]


def found(library: Library, channel: int, **asked: Any) -> list[tuple[str, float]]:
    return [(one.photo.path, one.value) for one in photos_of_channel(library, channel, **asked)]


def by_hand(library: Library, channel: int, part: str) -> dict[int, float]:
    """Content id -> the channel's mean, from the shards' own files."""
    values = {}
    for shard_id, file in library.catalog.shards(library.space_id).items():
        rows = np.load(library.shards.folder / file.file)
        for one, places, contents in library.catalog.vector_places(library.space_id, 0, 99):
            if one == shard_id:
                norms = rows["norms"][places, library.space.names.index(part)]
                values |= dict(zip(contents.tolist(), (rows[part][places, channel] * norms).tolist(), strict=True))
    return values


class TestPhotosOfAChannel:
    def test_exactly_the_highest_of_all_shards(self, library: Library, fill: Fill) -> None:
        random = np.random.default_rng(0)
        for shard in range(3):
            vectors = {
                f"/p/{shard}-{number:03}.jpg": {
                    "stage1": random.uniform(0, 255, 3),
                    "stage2": random.uniform(0, 255, 3) * random.uniform(0.01, 100),
                }
                for number in range(40)
            }
            fill(library, vectors)
        for stage in ("stage1", "stage2"):
            for channel in range(3):
                values = by_hand(library, channel, stage)
                assert len(values) == 120
                expected = sorted(values, key=lambda content: (-values[content], content))[:15]
                answer = photos_of_channel(library, channel, stage, 15)
                assert [one.photo.content_id for one in answer] == expected
                assert [one.value for one in answer] == [np.float32(values[content]) for content in expected]

    def test_length_counts_and_the_last_stage_is_the_default(self, library: Library, fill: Fill) -> None:
        fill(library, {"/p/dim.jpg": {"stage1": [9, 0, 0], "stage2": [9, 0, 0]},
                       "/p/bright.jpg": {"stage1": [0, 1, 0], "stage2": [200, 200, 200]}})  # fmt: skip
        assert [path for path, _ in found(library, RED)] == ["/p/bright.jpg", "/p/dim.jpg"]
        assert found(library, RED)[0][1] == pytest.approx(200, rel=1e-3)
        assert [path for path, _ in found(library, RED, stage="stage1")] == ["/p/dim.jpg", "/p/bright.jpg"]

    def test_even_values_go_by_content_and_copies_follow_each_other(self, library: Library, fill: Fill) -> None:
        names = [f"/p/{name}.jpg" for name in "zebra"]
        contents = fill(library, {name: [5, 1, 0] for name in names}, copies={"/p/copy of b.jpg": "/p/b.jpg"})
        answer = photos_of_channel(library, RED, k=4)
        assert [one.photo.content_id for one in answer][:2] == sorted(contents)[:2]
        assert len({one.value for one in answer}) == 1
        everything = photos_of_channel(library, RED, k=99)
        assert [one.photo.content_id for one in everything] == sorted([*contents, contents[names.index("/p/b.jpg")]])

    def test_a_dead_channel_of_many_photos_still_gives_k(self, library: Library, fill: Fill) -> None:
        contents = fill(library, {f"/p/{number:04}.jpg": [0, 0, 1 + number] for number in range(1500)})
        answer = photos_of_channel(library, RED, k=3)
        assert [one.photo.content_id for one in answer] == sorted(contents)[:3]
        assert {one.value for one in answer} == {0.0}

    def test_gone_photos_are_never_found_however_many(self, library: Library, fill: Fill) -> None:
        fill(library, {f"/p/{number:04}.jpg": [3000 - number, 1, 1] for number in range(2500)})
        photos = library.catalog.photos_in("present", 9999)
        kept = {photo.id for photo in photos if int(Path(photo.path).stem) >= 2490}
        assert library.catalog.mark_gone(["/p"], set(), kept, library.catalog.newest_photo()) == 2490
        assert [path for path, _ in found(library, RED, k=5)] == [f"/p/{number:04}.jpg" for number in range(2490, 2495)]
        assert len(found(library, RED, k=50)) == 10

    def test_within_a_filter_broad_or_narrow(self, library: Library, fill: Fill) -> None:
        values = {f"/p/{number % 2}/{number:04}.jpg": [3000 - number, 1, 1] for number in range(2500)}
        fill(library, values | {"/q/last.jpg": [1, 9000, 1]}, camera="Maker 7")
        assert found(library, RED, k=2, where=Filter(folder="/p/1"))[1][0] == "/p/1/0003.jpg"
        assert [path for path, _ in found(library, RED, where=Filter(folder="/q"))] == ["/q/last.jpg"]
        assert len(found(library, RED, k=3, where=Filter(camera="maker"))) == 3
        assert found(library, RED, where=Filter(folder="/nowhere")) == []

    def test_no_photo_and_one_photo(self, library: Library, fill: Fill) -> None:
        assert photos_of_channel(library, BLUE) == []
        fill(library, {"/p/only.jpg": [1, 2, 2]})
        assert found(library, BLUE, stage="stage1") == [("/p/only.jpg", pytest.approx(2, rel=1e-3))]

    def test_a_picture_of_nothing_has_no_channel_and_is_last(self, library: Library, fill: Fill) -> None:
        fill(library, {"/p/black.jpg": [0, 0, 0], "/p/red.jpg": [7, 0, 0]})
        assert found(library, RED) == [("/p/red.jpg", 7), ("/p/black.jpg", 0)]

    @pytest.mark.parametrize("channel", [3, -1])
    def test_unknown_channels_and_stages_say_which_there_are(self, library: Library, channel: int) -> None:
        with pytest.raises(LibraryError, match=rf"no channel {channel} in stage2. It has channels 0 to 2"):
            photos_of_channel(library, channel)
        for stage in ("stage3", "pooled", "stem", ""):
            with pytest.raises(LibraryError, match=rf"no stage '{stage}' in this network. It has stage1, stage2\."):
                photos_of_channel(library, RED, stage)

    def test_what_a_norm_has_mixed_is_refused_with_the_reason(self) -> None:
        with pytest.raises(LibraryError, match=r"pooled is no mean of channels.*Ask one of stage1, stage2\."):
            stage_of((("stage1", 3), ("stage2", 5), ("pooled", 5)), "pooled")
        assert stage_of((("stage1", 3), ("stage2", 5), ("pooled", 5)), None) == ("stage2", 5)


@pytest.mark.usefixtures("inline_decoder")
class TestStrongestChannels:
    def test_of_a_picture_file_by_value(self, open_library: Any, photos: Path) -> None:
        library = open_library()
        found = strongest_channels(library, str(photos / "lime.png"))
        assert [one.channel for one in found] == [GREEN, RED, BLUE]
        assert [one.value for one in found] == [pytest.approx(value, abs=1) for value in (220, 90, 40)]
        assert [one.higher_than for one in found] == [None] * 3  # nothing to compare with

    def test_a_photo_and_its_file_are_the_same_within_float16(
        self, open_library: Any, photos: Path, run: Callable[..., Any]
    ) -> None:
        library = open_library()
        run(library, photos)
        for photo in library.catalog.photos_in("present", 9):
            stored = strongest_channels(library, photo.id, "stage1")
            fresh = strongest_channels(library, photo.path, "stage1")
            assert [one.channel for one in stored] == [one.channel for one in fresh]
            assert [one.value for one in stored] == pytest.approx([one.value for one in fresh], rel=1e-3)
            assert [one.higher_than for one in stored] == [one.higher_than for one in fresh]
        red = next(photo for photo in library.catalog.photos_in("present", 9) if photo.path.endswith("red.png"))
        values = {one.channel: one.higher_than for one in strongest_channels(library, red.id)}
        # More red than green, lime and blue, and evenly red with rose; less green than all but none: 30 against 60, 200, …
        assert values[BLUE] == 0.0
        assert values[GREEN] == 0.0
        assert values[RED] in (0.75, 1.0)

    def test_the_unusual_before_the_merely_high(self, library: Library, fill: Fill) -> None:
        contents = fill(library, {f"/p/{number}.jpg": [200 + number, 5 + number / 10, 60] for number in range(20)})
        odd = fill(library, {"/p/odd.jpg": [205.5, 90, 50]})[0]
        photo = library.catalog.photos([odd], Filter(), library.space_id)[odd][0].id
        by_value = strongest_channels(library, photo, by="value")
        assert [one.channel for one in by_value] == [RED, GREEN, BLUE]
        unusual = strongest_channels(library, photo, by="unusual", k=2)
        assert [one.channel for one in unusual] == [GREEN, RED]
        assert [one.higher_than for one in unusual] == [1.0, 6 / len(contents)]

    def test_of_channels_that_are_higher_than_all_the_further_first(self, library: Library, fill: Fill) -> None:
        fill(library, {f"/p/{number}.jpg": [100 + 10 * number, 100 + number, 1] for number in range(5)})
        odd = fill(library, {"/p/odd.jpg": [170, 160, 1]})[0]
        photo = library.catalog.photos([odd], Filter(), library.space_id)[odd][0].id
        unusual = strongest_channels(library, photo, by="unusual")
        assert [one.channel for one in unusual][:2] == [GREEN, RED]
        assert [one.higher_than for one in unusual][:2] == [1.0, 1.0]

    def test_even_values_are_not_lower(self, library: Library, fill: Fill) -> None:
        contents = fill(library, {f"/p/{number}.jpg": [50, 7, 90] for number in range(4)})
        photo = library.catalog.photos(contents[:1], Filter(), library.space_id)[contents[0]][0].id
        assert {one.higher_than for one in strongest_channels(library, photo)} == {0.0}

    def test_the_sample_is_bounded_and_the_same_each_time(self, library: Library, fill: Fill) -> None:
        contents = fill(library, {f"/p/{number:05}.jpg": [number % 251, 7, 90] for number in range(SAMPLE + 900)})
        asked: list[int] = []
        of_parts = library.vectors.of_parts

        def counted(wanted: np.ndarray, parts: Any) -> Any:
            asked.append(len(wanted))
            return of_parts(wanted, parts)

        library.vectors.of_parts = counted  # type: ignore[method-assign]
        photo = library.catalog.photos(contents[:1], Filter(), library.space_id)[contents[0]][0].id
        first = strongest_channels(library, photo)
        assert max(asked) <= SAMPLE
        assert strongest_channels(library, photo) == first

    def test_one_photo_alone_is_like_nothing_else(self, library: Library, fill: Fill) -> None:
        content = fill(library, {"/p/only.jpg": [1, 2, 3]})[0]
        photo = library.catalog.photos([content], Filter(), library.space_id)[content][0].id
        for by in ("value", "unusual"):
            found = strongest_channels(library, photo, by=by)
            assert [(one.channel, one.higher_than) for one in found] == [(BLUE, None), (GREEN, None), (RED, None)]

    def test_what_is_refused(self, open_library: Any, tmp_path: Path) -> None:
        library = open_library()
        with pytest.raises(LibraryError, match="no photo with the id 77"):
            strongest_channels(library, 77)
        with pytest.raises(LibraryError, match="no stage 'stage9'"):
            strongest_channels(library, str(tmp_path / "none.jpg"), "stage9")
        with pytest.raises(UnreadableImage):
            strongest_channels(library, str(tmp_path / "none.jpg"))
