"""What is planted in catalogue, shards and thumbnails is found; mending gives up what is derived and no word of a user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert, update

import index.compact
import index.mend
import index.pending
from index.doctor import examination, examine
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.progress import DONE
from storage.database import writing
from storage.errors import CatalogError, ReadOnly
from storage.shards import checksum_of
from storage.tables import Content, Label, Mark, Photo, Shard, Vector

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.usefixtures("inline_decoder")


def failing(library: Library, **options: bool) -> dict[str, str]:
    """The checks that are not ok, with their details."""
    health = examine(library, **options)
    failed = {check["name"]: check["detail"] for check in health["checks"] if not check["ok"]}
    assert health["ok"] == (not failed)
    return failed


def behind_our_back(library: Library, *statements: Any) -> None:
    """Change the catalogue as nobody should: foreign keys are not enforced."""
    with closing(sqlite3.connect(library.folder / "catalog.sqlite")) as connection:
        for statement in statements:
            connection.execute(str(statement.compile(compile_kwargs={"literal_binds": True})))
        connection.commit()


def first_shard(library: Library) -> Path:
    return library.shards.folder / next(iter(library.catalog.shards(library.space_id).values())).file


def words_of(library: Library) -> list[tuple]:
    """(digest, word) of all that was taught."""
    with closing(sqlite3.connect(library.folder / "catalog.sqlite")) as connection:
        asked = "SELECT digest, word FROM mark JOIN content ON content.id = content_id ORDER BY 1, 2"
        return connection.execute(asked).fetchall()


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        (update(Photo).where(Photo.id == 1).values(state="lost"), "1 photos of no known state"),
        (update(Photo).where(Photo.id == 1).values(content_id=None), "1 present photos without content"),
        (update(Photo).where(Photo.id == 1).values(content_id=777), "1 photos of a content that is not there"),
        (update(Vector).where(Vector.content_id == 3).values(row=99), "1 vectors beyond the end of their shard"),
        (update(Vector).where(Vector.content_id == 3).values(shard_id=99), "1 vectors in a shard that is not known"),
        (
            insert(Vector).values(content_id=777, space_id=1, shard_id=1, row=50),
            "1 vectors of a content that is not there, 1 vectors beyond the end of their shard",
        ),
        (insert(Label).values(content_id=777, space_id=1, rank=0, label_index=1, score=0.5), "1 labels of a content"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_found_and_mended(
    lived_in: Library, open_library: Open, photos: Path, run: Run, statement: Any, detail: str
) -> None:
    before = words_of(lived_in)
    behind_our_back(lived_in, statement)
    library = open_library()
    assert detail in failing(library, whole=True)["catalogue"]
    assert examine(library, mend=True)["mended"]
    (photos / "red.png").touch()
    run(library, photos)
    left = failing(open_library(), whole=True)
    # Two things are told and not touched: a label costs nothing, a state that nobody knows is nobody's to guess.
    unmended = {name for name in left if "labels" in detail or "no known state" in detail}
    assert set(left) == unmended
    assert words_of(library) == before


def test_words_of_a_content_that_is_not_there_are_told_and_kept(lived_in: Library, open_library: Open) -> None:
    behind_our_back(lived_in, insert(Mark).values(content_id=777, word="dear"))
    library = open_library()
    assert "1 words of a content that is not there" in failing(library)["catalogue"]
    examine(library, mend=True)
    assert library.catalog.words() == {"cold \u2744": 1, "dear": 1, "warm": 2}


def test_mending_everything_at_once_keeps_every_word(
    lived_in: Library, open_library: Open, photos: Path, run: Run
) -> None:
    before, probe = words_of(lived_in), lived_in.catalog.probe(lived_in.space_id)
    assert len(before) == 3
    for path in lived_in.shards.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    for path in lived_in.thumbnails.folder.glob("*/*"):
        path.write_bytes(b"")
    for path in lived_in.cache.iterdir():
        path.write_bytes(b"?")
    library = open_library()
    assert {"shards", "thumbnails", "cache"} <= set(failing(library))
    mended = examine(library, mend=True)["mended"]
    assert sum("gave up the damaged shard" in line for line in mended) == 2
    assert "made 8 thumbnails" in mended
    assert "could not make 1 thumbnails" not in " ".join(mended), "of a photo that is gone none is missed"
    assert words_of(library) == before, "before anything is indexed again"
    assert run(library, photos)["embedded"] == 8
    assert failing(open_library()) == {}
    assert words_of(library) == before
    assert library.catalog.probe(library.space_id) == probe
    assert library.catalog.marked(library.space_id).keys() == {"cold \u2744", "warm"}


def test_half_a_thumbnail_is_made_anew(lived_in: Library, open_library: Open) -> None:
    files = sorted(lived_in.thumbnails.folder.glob("*/*"))
    whole = {path: path.read_bytes() for path in files}
    gone = lived_in.thumbnails.path(lived_in.catalog.photos_in("gone", 1)[0].digest or "")
    files.remove(gone)
    files[0].write_bytes(whole[files[0]][: len(whole[files[0]]) // 2])
    files[1].write_bytes(bytes(len(whole[files[1]])))  # the length came to the disk, its bytes did not
    files[2].write_bytes(b"\xff\xd9")
    detail = failing(open_library())["thumbnails"]
    assert detail[:4] in ("3 of", "4 of"), "one of them may be the two photos' that are the same"
    assert "made 3 thumbnails" in examine(open_library(), mend=True)["mended"]
    assert {path: path.read_bytes() for path in whole} == whole


def test_thumbnails_of_photos_that_are_away_are_told_as_not_mended(
    lived_in: Library, open_library: Open, photos: Path
) -> None:
    photo = lived_in.catalog.photos_in("present", 1)[0]
    lived_in.thumbnails.path(photo.digest or "").unlink()
    photos.rename(photos.with_name("unplugged"))
    health = examine(open_library(), mend=True)
    told = [line for line in health["mended"] if "thumbnails" in line]
    assert len(told) == 1
    assert told[0].startswith("could not make ")
    assert not health["ok"]
    photos.with_name("unplugged").rename(photos)
    assert examine(open_library(), mend=True)["ok"]


def give_other_vectors(library: Library) -> None:
    """The first shard's vectors become others, whole by checksum: as an engine with a fault would have written them."""
    path = first_shard(library)
    rows = np.load(path)
    rows["stage2"] = rows["stage2"][:, ::-1]
    np.save(path, rows)
    with writing(library.catalog.engine) as connection:
        mine = Shard.file == path.name
        connection.execute(update(Shard).where(mine).values(checksum=checksum_of(path), bytes=path.stat().st_size))


def test_vectors_that_the_network_does_not_give_are_given_up_with_those_made_beside_them(
    lived_in: Library, open_library: Open, photos: Path, run: Run
) -> None:
    before = words_of(lived_in)
    give_other_vectors(lived_in)
    library = open_library()
    found = failing(library, whole=True)
    assert set(found) >= {"vectors"}
    assert "photos embedded again differ from their stored vectors (lowest cosine 0." in found["vectors"]
    assert str(photos) in found["vectors"]
    mended = examine(library, mend=True)["mended"]
    assert any(line.startswith("gave up 5 vectors made with some that the network does not give") for line in mended)
    report = run(library, photos)
    assert (report["embedded"], report["unchanged"]) == (5, 4), "the other shard's are as they were"
    assert failing(open_library(), whole=True) == {}
    assert words_of(library) == before


def test_a_shard_that_may_not_be_read_is_not_given_up(
    lived_in: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, path = lived_in.catalog.shards(lived_in.space_id), first_shard(lived_in)
    allowed = os.access

    def access(asked: Any, mode: int, **options: Any) -> bool:
        return False if Path(asked) == path else allowed(asked, mode, **options)

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(LibraryError, match=rf"{path.name} may not be read by you\. Nothing was mended"):
        examine(open_library(), mend=True)
    assert path.exists()
    assert lived_in.catalog.shards(lived_in.space_id) == held


def test_a_damaged_database_is_told_by_the_check_and_not_touched(lived_in: Library, open_library: Open) -> None:
    file = lived_in.folder / "catalog.sqlite"
    lived_in.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'photo'").fetchone()[0]
    data = bytearray(file.read_bytes())
    data[(page - 1) * size : page * size] = b"\x55" * size
    file.write_bytes(data)
    library = open_library()
    found = failing(library)
    assert "photos" in found
    assert "database" in found
    assert examine(library)["photos"] == {"present": None, "unreadable": None, "gone": None}
    with pytest.raises(CatalogError, match=r"damaged.*Restore a backup"):
        examine(library, mend=True)
    library.close()
    assert file.read_bytes()[(page - 1) * size : page * size] == b"\x55" * size


def test_every_check_is_shown_while_it_is_made(lived_in: Library) -> None:
    phases = [progress.phase for progress in examination(lived_in, mend=True, recall=True)]
    assert phases[0] == "verifying shards"
    assert phases[-2:] == ["measuring recall", DONE]
    looked = [phase.removeprefix("examining: ") for phase in phases if phase.startswith("examining: ")]
    assert looked == [check["name"] for check in examine(lived_in)["checks"]]


def test_mending_that_is_broken_off_gives_the_lease_back(
    lived_in: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.mend, "BEAT_S", -1)
    steps = examination(lived_in, mend=True)
    next(steps)
    job = lived_in.catalog.latest_job("mend")
    assert job is not None
    assert job.state == "running"
    steps.close()
    assert lived_in.catalog.latest_job("mend").state == "interrupted"  # type: ignore[union-attr]
    steps = examination(open_library(), mend=True)
    next(steps)
    lived_in.catalog.ask_to_stop(lived_in.catalog.latest_job("mend").id)  # type: ignore[union-attr]
    with pytest.raises(LibraryError, match="The mending was asked to stop"):
        list(steps)
    assert lived_in.catalog.latest_job("mend").state == "failed"  # type: ignore[union-attr]
    assert failing(open_library()) == {}


def test_a_library_that_can_only_be_read_is_examined_and_not_mended(
    lived_in: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived_in.close()
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **options: False if mode & os.W_OK else allowed(path, mode, **options)
    )
    library = open_library()
    assert failing(library) == {}
    with pytest.raises(ReadOnly, match="can't be written to"):
        examine(library, mend=True)


def test_a_lost_shard_folder_row_by_row(lived_in: Library, open_library: Open, photos: Path, run: Run) -> None:
    """Every shard of which the catalogue forgot its row: its vectors point to nothing and are made again."""
    before = words_of(lived_in)
    behind_our_back(lived_in, delete(Shard))
    library = open_library()
    assert "9 vectors in a shard that is not known" in failing(library)["catalogue"]
    mended = examine(library, mend=True)["mended"]
    assert any("gave up 9 vectors whose shard or photo is not known" in line for line in mended)
    assert sum("which belonged to nothing" in line for line in mended) == 2
    assert run(library, photos)["embedded"] == 8
    assert failing(open_library()) == {}
    assert words_of(library) == before
    with library.catalog.engine.connect() as connection:
        assert connection.execute(update(Content).values(size=Content.size)).rowcount == 9


def test_a_job_at_work_is_no_illness(
    open_library: Open, photos: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 3)
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 1)
    for number in range(7):
        paint(photos / f"more-{number}.png", "blue", seed=number)
    library, other = open_library(), open_library()
    known = set()
    for number, _ in enumerate(index_folder(library, [str(photos)])):
        if number % 3 == 0:
            assert failing(other) == {}, f"at step {number}"
            known.add(len(other.vectors))
    assert len(known) > 2, "looked at between its commits"
    assert failing(open_library(), whole=True) == {}


def test_a_photo_whose_bytes_rot_under_the_same_stamp_is_told(
    lived_in: Library, open_library: Open, photos: Path, run: Run
) -> None:
    path = photos / "lime.png"
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[-5] ^= 1  # in the file's last checksum: it still decodes, or says that it can't
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    told = failing(open_library())["files"]
    assert told.startswith("1 photos have other bytes than when they were indexed")
    assert str(path) in told
    examine(open_library(), mend=True)
    assert path.read_bytes() == data, "a photo is never mended"
    os.utime(path)
    run(open_library(), photos)
    assert failing(open_library(), whole=True) == {}
