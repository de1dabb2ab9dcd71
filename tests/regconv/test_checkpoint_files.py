"""The digest of weight files, and writing that is all or nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from regconv import CheckpointError
from regconv import checkpoint as files
from regconv.checkpoint import find_weights, weights_digest, write_files


class TestDigest:
    def test_it_is_the_hash_of_the_bytes_that_are_read(self, tiny_checkpoint: Any) -> None:
        import hashlib

        folder = tiny_checkpoint("regnet-y")
        whole = (folder / "model.safetensors").read_bytes()
        assert weights_digest(find_weights(folder)) == hashlib.sha256(whole).hexdigest()
        (folder / "pytorch_model.bin").write_bytes(b"not read")
        assert weights_digest(find_weights(folder)) == hashlib.sha256(whole).hexdigest()

    def test_the_cache_is_used_and_notices_changes(
        self, tiny_checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, cache = tiny_checkpoint("regnet-y"), tmp_path / "made" / "digests.json"
        first = weights_digest(find_weights(folder), cache)
        with monkeypatch.context() as patched:
            patched.setattr(files.hashlib, "sha256", lambda: pytest.fail("the file was read again"))
            # Only the constructor is called before the loop that reads.
            assert weights_digest(find_weights(folder), cache) == first
        path = folder / "model.safetensors"
        stamp = path.stat().st_mtime_ns
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(stamp + 1, stamp + 1))
        second = weights_digest(find_weights(folder), cache)
        assert second != first
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        assert weights_digest(find_weights(copy), cache) == second

    @pytest.mark.parametrize("content", ["", "{broken", "[]"])
    def test_a_damaged_cache_is_made_anew(self, content: str, tiny_checkpoint: Any, tmp_path: Path) -> None:
        folder, cache = tiny_checkpoint("regnet-y"), tmp_path / "digests.json"
        cache.write_text(content)
        digest = weights_digest(find_weights(folder), cache)
        assert digest in json.loads(cache.read_text()).values()


def test_write_files_is_all_or_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"started")
        raise OSError("no more")

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(CheckpointError, match="no more"):
        write_files(tmp_path, {"a": b"new", "b": fail})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}
    write_files(tmp_path, {"a": b"new", "b": lambda path: path.write_bytes(b"done")})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new", "b": b"done"}
