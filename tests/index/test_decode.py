"""Decoding in worker processes: order and association, faults that cost one file, limits, and nothing left behind."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from index.decode import Decoded, Decoder, DecoderClosed, DecodeTask, Failure, Known
from regconv.errors import UnreadableImage
from regconv.images import Limits, Recipe, prepare

DATA = os.environ.get("REGCONV_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="REGCONV_DATA is not set: the shared pictures are not here")
RECIPE = Recipe(32, 0.875, 3)
ROOT = Path(__file__).parents[2]

PLANTED = """
import itertools, os, time
from index.decode_worker import decode_file

def work(task, recipe, limits):
    name = os.path.basename(task.path)
    if "hang" in name:
        time.sleep(600)
    if "stuck" in name:  # neither a signal handler nor a thread runs in here
        sum(itertools.repeat(1, 10**13))
    if "crash" in name:
        os.abort()
    if "vanish" in name:
        os._exit(3)
    if "hungry" in name:
        hoard = [bytearray(64 << 20) for _ in range(64)]
    if "bug" in name:
        raise KeyError("planted")
    if "slow" in name:
        time.sleep(0.3)
    if "modules" in name:
        import sys
        raise RuntimeError(" ".join(sys.modules))
    return decode_file(task, recipe, limits)
"""


def colour_of(number: int) -> tuple[int, int, int]:
    return (number * 37 % 256, number * 91 % 256, number * 5 % 256)


def coloured_files(folder: Path, count: int, names: dict[int, str] | None = None) -> list[DecodeTask]:
    """Files that are each of one colour, so that a mixed up pair shows; some of them renamed."""
    tasks = []
    for number in range(count):
        path = folder / f"{number:03}{(names or {}).get(number, '')}.png"
        Image.new("RGB", (50, 40), colour_of(number)).save(path)
        tasks.append(DecodeTask(str(path)))
    return tasks


def assert_own_colour(result: object, number: int) -> None:
    assert isinstance(result, Decoded), result
    np.testing.assert_array_equal(result.picture, np.full((32, 32, 3), colour_of(number), np.uint8))


@pytest.fixture
def planted_decoder(tmp_path, monkeypatch) -> type[Decoder]:
    """A Decoder whose workers do what a file's name asks for."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "planted_faults.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path / "code")
    import planted_faults

    class Planted(Decoder):
        _decode_file = staticmethod(planted_faults.work)

    yield Planted
    del sys.modules["planted_faults"]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(RECIPE, workers=2) as ready:
        yield ready


def test_everything_about_a_file(decoder, tmp_path):
    path = tmp_path / os.fsdecode(b"new\nline \xff.jpg")
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Box"
    image = Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")
    image.save(path, exif=exif, comment=b"secret")
    (result,) = decoder.decode([DecodeTask(str(path))])
    stat = path.stat()
    assert result.task == DecodeTask(str(path))
    assert result.digest == hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    assert (result.size, result.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert (result.width, result.height, result.format, result.camera) == (1200, 1600, "JPEG", "Box")
    np.testing.assert_array_equal(result.picture, prepare(path, RECIPE))
    small = Image.open(io.BytesIO(result.thumbnail))
    assert (small.format, max(small.size), small.size[0] < small.size[1]) == ("JPEG", 200, True) or max(
        small.size
    ) <= 384
    assert b"secret" not in result.thumbnail
    assert not small.getexif()
    assert decoder.picture(str(path)).digest == result.digest


def test_known_bytes_are_not_decoded(decoder, tmp_path):
    path = tmp_path / "no picture.jpg"
    path.write_bytes(b"these bytes could not be decoded")
    digest = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    task = DecodeTask(str(path), frozenset({"0" * 64, digest}))
    assert list(decoder.decode([task])) == [Known(task, digest, 32, path.stat().st_mtime_ns)]
    (unknown,) = decoder.decode([DecodeTask(str(path), frozenset({"0" * 64}))])
    assert isinstance(unknown, Failure)


def test_the_order_and_the_pairs(decoder, tmp_path):
    tasks = coloured_files(tmp_path, 60)
    pulled = []

    def lazily() -> Iterator[DecodeTask]:
        for task in tasks:
            pulled.append(task)
            yield task

    for number, result in enumerate(decoder.decode(lazily())):
        assert result.task is tasks[number]
        assert_own_colour(result, number)
        assert len(pulled) <= number + 1 + 16  # 8 for each worker: memory is bounded
    assert number == 59
    assert list(decoder.decode([])) == []


def test_each_fault_costs_one_file(planted_decoder, tmp_path):
    faults = {3: "hang", 7: "crash", 8: "crash", 12: "hungry", 15: "vanish", 20: "bug", 22: "stuck"}
    tasks = coloured_files(tmp_path, 30, faults)
    tasks.insert(25, DecodeTask(str(tmp_path / "gone.png")))
    with planted_decoder(RECIPE, workers=2, deadline_s=1, memory_mb=512) as decoder:
        started = time.monotonic()
        results = list(decoder.decode(tasks))
        assert time.monotonic() - started < 25
    reasons = {number: result.reason for number, result in enumerate(results) if isinstance(result, Failure)}
    for number, result in enumerate(results):
        if number in reasons:
            assert result.path == tasks[number].path
        else:
            assert_own_colour(result, number - (number > 25))
    assert reasons.keys() == {3, 7, 8, 12, 15, 20, 22, 25}
    assert reasons[3] == reasons[22] == "took longer than 1 s to decode"
    assert reasons[7] == reasons[8] == "crashed the process that decoded it (SIGABRT)"
    assert "memory" in reasons[12]
    assert reasons[15] == "crashed the process that decoded it (exit code 3)"
    assert "KeyError: 'planted'" in reasons[20]
    assert "No such file" in reasons[25]


def test_a_worker_killed_while_idle_costs_nothing(tmp_path):
    tasks = coloured_files(tmp_path, 4)
    with Decoder(RECIPE, workers=1) as decoder:
        assert_own_colour(next(iter(decoder.decode(tasks[:1]))), 0)
        for worker in workers_of(os.getpid()):
            worker.kill()
        time.sleep(0.5)
        for number, result in enumerate(decoder.decode(tasks)):
            assert_own_colour(result, number)


def test_closing_early_drops_what_is_queued(planted_decoder, tmp_path):
    tasks = coloured_files(tmp_path, 16, dict.fromkeys(range(1, 16), "hang"))
    with planted_decoder(RECIPE, workers=2) as decoder:
        results = decoder.decode(tasks)
        assert_own_colour(next(results), 0)
        started = time.monotonic()
        results.close()
        assert_own_colour(next(decoder.decode(tasks[:1])), 0)
        assert time.monotonic() - started < 8


def test_threads_share_a_decoder(planted_decoder, tmp_path):
    tasks = coloured_files(tmp_path, 40, {1: "slow", 2: "slow", 3: "slow", 4: "slow", 30: "crash"})
    wrong: list[object] = []

    def work() -> None:
        for number, result in enumerate(decoder.decode(tasks)):
            try:
                assert number == 30 or assert_own_colour(result, number) is None
                assert isinstance(result, Failure) == (number == 30)
            except AssertionError as error:
                wrong.append(error)

    with planted_decoder(RECIPE, workers=2) as decoder:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert decoder.view(tasks[0].path)[:2] == b"\xff\xd8"  # and a page need not wait for them
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_photo_itself_without_what_its_file_tells(decoder, tmp_path):
    path = tmp_path / "trip.jpg"
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 8, "Maker of cameras"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 30.0)
    Image.linear_gradient("L").resize((900, 600)).save(
        path, exif=exif, comment=b"at home", xmp=b"<x:xmpmeta/>", dpi=(9, 9)
    )
    assert Image.open(io.BytesIO(path.read_bytes())).getexif().get_ifd(0x8825)
    for view in (decoder.view(str(path)), decoder.view(str(path), max_side=300)):
        image = Image.open(io.BytesIO(view))
        assert not image.getexif()
        assert not {"exif", "comment", "xmp", "icc_profile", "dpi"} & set(image.info)
        assert not any(word in view for word in (b"Exif", b"Maker", b"at home", b"xmpmeta"))
        assert image.size in [(600, 900), (200, 300)]
    with pytest.raises(UnreadableImage, match="No such file"):
        decoder.view(str(tmp_path / "gone.jpg"))
    with pytest.raises(UnreadableImage, match="not a regular file"):
        decoder.picture(str(tmp_path))


def test_limits_reach_the_workers(tmp_path):
    (task,) = coloured_files(tmp_path, 1)
    with Decoder(RECIPE, workers=1, limits=Limits(max_pixels=1999)) as decoder:
        (result,) = decoder.decode([task])
    assert result.reason == "has 2,000 pixels, the limit is 1,999"
    assert result.size == Path(task.path).stat().st_size


def test_a_closed_decoder_says_so(tmp_path):
    decoder = Decoder(RECIPE, workers=1)
    decoder.close()
    with pytest.raises(DecoderClosed):
        list(decoder.decode(coloured_files(tmp_path, 1)))


def test_workers_hold_no_torch(planted_decoder, tmp_path):
    pytest.importorskip("torch")
    (task,) = coloured_files(tmp_path, 1, {0: "modules"})
    with planted_decoder(RECIPE, workers=1) as decoder:
        (result,) = decoder.decode([task])
    loaded = set(result.reason.split())
    assert "PIL.Image" in loaded
    assert not {"torch", "sqlalchemy", "gradio", "faiss", "storage", "huggingface_hub"} & loaded


@needs_data
def test_the_nasty_files_go_through(decoder):
    paths = sorted(path for path in Path(DATA, "nasty").rglob("*") if path.is_file() and path.name != "manifest.csv")
    assert len(paths) == 81
    results = list(decoder.decode(DecodeTask(str(path)) for path in paths))
    never = {"truncated", "not_images"}
    always = {"animated", "bit16", "cmyk", "exif_rotated", "palette_alpha_gray", "tiny_odd_size", "wrong_extension"}
    for path, result in zip(paths, results, strict=True):
        group = path.parent.name
        assert (result.path if isinstance(result, Failure) else result.task.path) == str(path)
        assert not (group in always and isinstance(result, Failure)), result
        assert not (group in never and isinstance(result, Decoded)), path
        if isinstance(result, Failure):
            assert "process" not in result.reason  # no worker was lost
            assert result.size == path.stat().st_size
    assert sum(isinstance(result, Failure) for result in results) == 17
    for worker in workers_of(os.getpid()):
        assert worker.memory_info().rss < 700 << 20


def workers_of(parent: int) -> list[psutil.Process]:
    """The processes below `parent` that have a decoder's memory limit."""
    below = psutil.Process(parent).children(recursive=True)
    return [each for each in below if each.rlimit(psutil.RLIMIT_AS)[0] != psutil.RLIM_INFINITY]


PROGRAM = """
    import sys, time
    from index.decode import Decoder, DecodeTask
    from regconv.images import Recipe
    import planted_faults

    class Planted(Decoder):
        _decode_file = staticmethod(planted_faults.work)

    if __name__ == "__main__":
        decoder = Planted(Recipe(32, 0.875, 3), workers=2)
        results = decoder.decode(DecodeTask(path) for path in sys.argv[1:])
        print(type(next(results)).__name__, flush=True)
        try:
            print(type(next(results)).__name__, flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


@pytest.fixture
def program(planted_decoder, tmp_path):
    """A process that decodes: one file, then it waits for two that never end. It leads a process group of its own."""
    tasks = coloured_files(tmp_path, 3, {1: "hang", 2: "stuck"})
    script = tmp_path / "code" / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'code'}"}
    command = [sys.executable, str(script), *(task.path for task in tasks)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Decoded\n"
        time.sleep(0.5)  # until both workers are busy
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and the kernel's signal at a parent's death")
def test_no_worker_outlives_a_killed_parent(program):
    below = psutil.Process(program.pid).children(recursive=True)
    assert len(workers_of(program.pid)) == 2
    program.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(below, timeout=10)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


def test_ctrl_c_reaches_the_parent_alone(program):
    workers = workers_of(program.pid)
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert all(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    os.killpg(program.pid, signal.SIGINT)
    assert program.stdout.readline() == "interrupted\n"
    program.wait(15)
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert alive == []
