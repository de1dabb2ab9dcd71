"""Workers that hang, crash, vanish or want too much: each costs one file, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from index.decode import Decoder, DecodeTask, Failure
from tests.index.planted_faults import RECIPE, PlantedDecoder, assert_own_colour, coloured_files

ROOT = Path(__file__).parents[2]


def test_each_fault_costs_one_file(tmp_path):
    faults = {3: "hang", 7: "crash", 8: "crash", 12: "hungry", 15: "vanish", 20: "bug", 22: "stuck"}
    tasks = coloured_files(tmp_path, 30, faults)
    tasks.insert(25, DecodeTask(str(tmp_path / "gone.png")))
    with PlantedDecoder(RECIPE, workers=2, deadline_s=2, memory_mb=512) as decoder:
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
    assert reasons[3] == reasons[22] == "took longer than 2 s to decode"
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


def test_closing_early_drops_what_is_queued(tmp_path):
    tasks = coloured_files(tmp_path, 16, dict.fromkeys(range(1, 16), "hang"))
    with PlantedDecoder(RECIPE, workers=2) as decoder:
        results = decoder.decode(tasks)
        assert_own_colour(next(results), 0)
        started = time.monotonic()
        results.close()
        assert_own_colour(next(decoder.decode(tasks[:1])), 0)
        assert time.monotonic() - started < 8


def test_threads_share_a_decoder(tmp_path):
    tasks = coloured_files(tmp_path, 40, {1: "slow", 2: "slow", 3: "slow", 4: "slow", 30: "crash"})
    wrong: list[object] = []

    def work() -> None:
        for number, result in enumerate(decoder.decode(tasks)):
            try:
                assert number == 30 or assert_own_colour(result, number) is None
                assert isinstance(result, Failure) == (number == 30)
            except AssertionError as error:
                wrong.append(error)

    with PlantedDecoder(RECIPE, workers=2) as decoder:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert decoder.view(tasks[0].path)[:2] == b"\xff\xd8"  # and a page need not wait for them
        for thread in threads:
            thread.join()
    assert wrong == []


def test_workers_hold_no_torch(tmp_path):
    pytest.importorskip("torch")
    (task,) = coloured_files(tmp_path, 1, {0: "modules"})
    with PlantedDecoder(RECIPE, workers=1) as decoder:
        (result,) = decoder.decode([task])
    loaded = set(result.reason.split())
    assert "PIL.Image" in loaded
    assert not {"torch", "sqlalchemy", "gradio", "faiss", "storage", "huggingface_hub"} & loaded


def workers_of(parent: int) -> list[psutil.Process]:
    """The processes below `parent` that have a decoder's memory limit."""
    below = psutil.Process(parent).children(recursive=True)
    return [each for each in below if each.rlimit(psutil.RLIMIT_AS)[0] != psutil.RLIM_INFINITY]


@pytest.fixture
def program(tmp_path):
    """A process that decodes: one file, then it waits for two that never end. It leads a process group of its own."""
    tasks = coloured_files(tmp_path, 3, {1: "hang", 2: "stuck"})
    command = [sys.executable, "-m", "tests.index.planted_faults", *(task.path for task in tasks)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
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
