"""The state of a training run on disk, so that a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from regconv.checkpoint import CONFIG_NAME, write_files
from regconv.errors import CheckpointError, TrainingError
from regconv.torch.training.data import Listing
from regconv.torch.training.recipe import TrainingRecipe

STATE_NAME = "training-state.pt"
# What torch.load raises for a file that was cut off or changed.
_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError)


def run_identity(recipe: TrainingRecipe, train: Listing, val: Listing, threads: int) -> str:
    """Hex digest of all that a run's course depends on: only a run of the same identity may go on from a state."""
    stamps = [[path.name, label, path.stat().st_size] for path, label in (*train.files, *val.files)]
    whole = [recipe.as_dict(), train.classes, stamps, len(train.files), threads]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the folder's state at once; an earlier one stays if that fails. Raises CheckpointError."""
    content = io.BytesIO()
    torch.save(state, content)
    write_files(folder, {STATE_NAME: content.getvalue()})


def load_state(folder: Path, identity: str) -> dict[str, Any] | None:
    """The folder's state, None where there is none.

    Raises TrainingError where the folder holds a finished checkpoint or the state of another run, and CheckpointError
    where the state is damaged.
    """
    path = folder / STATE_NAME
    if not path.is_file():
        if (folder / CONFIG_NAME).is_file():
            raise TrainingError(f"{folder} already holds a checkpoint, which is not overwritten: give another --out")
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        same = state["identity"] == identity
    except _DAMAGED as error:
        raise CheckpointError(f"{path} is damaged, remove it to start again: {error}") from error
    if not same:
        raise TrainingError(
            f"{path} is the state of a run with other pictures, options or threads: repeat its command to go on with "
            "it, give another --out, or remove the folder to start again"
        )
    return state


def forget_state(folder: Path) -> None:
    """The run is finished: nothing goes on from it, and what a kill left half written goes too."""
    (folder / STATE_NAME).unlink(missing_ok=True)
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)
