"""The training run: a generator of progress that writes a checkpoint.

Every random number of a step comes from the recipe's seed and the number of the step, so going on after a kill needs
nothing but the step: on a CPU, with the same threads, the result is the undisturbed run's bit for bit.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regconv.backbone import choose_device
from regconv.checkpoint import write_files
from regconv.errors import TrainingError
from regconv.torch.training.augment import augmented, mixed
from regconv.torch.training.data import (
    Failure,
    Listing,
    TrainingPictures,
    list_classes,
    read_measuring,
    read_training,
    split,
)
from regconv.torch.training.ema import AveragedNetwork
from regconv.torch.training.progress import Pace, TrainingProgress, as_progress, phase_words
from regconv.torch.training.recipe import TrainingRecipe
from regconv.torch.training.replicas import Replicas
from regconv.torch.training.report import measured
from regconv.torch.training.schedule import learning_rate, parameter_groups
from regconv.torch.training.start import first_network, picture_recipe, processor_of
from regconv.torch.training.state import forget_state, load_state, run_identity, save_state

REPORT_NAME = "training.json"
_MEASUREMENTS = 50  # of a run, about: measuring costs as much as half an epoch of small pictures
_BATCH_TO_MEASURE = 64


def train_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    recipe: TrainingRecipe,
    *,
    val: str | os.PathLike[str] | None = None,
    device: str = "auto",
    command: str | None = None,
    save_every_s: float = 30.0,
) -> Iterator[TrainingProgress]:
    """Trains on a folder of class folders and leaves the best measured network in `out`; the last progress has the report.

    val: a folder to measure on; without it a share of every class is held out. command: for the report. A run that was
    killed goes on when it is started again with the same arguments. Raises TrainingError, CheckpointError, and as
    `describe` for recipe.start.
    """
    listing = list_classes(folder)
    train, held = (
        (listing, list_classes(val, listing.classes)) if val else split(listing, recipe.val_share, recipe.seed)
    )
    run = _Run(recipe, Path(out), listing.classes, choose_device(device))
    identity = run_identity(recipe, train, held, run.replicas.count)
    try:
        state = load_state(run.out, identity)
        yield from run.read(train, held)
        run.restore(state)
        yield from run.epochs(identity, save_every_s)
        yield run.finish(
            {"train": os.fspath(folder), "val": None if val is None else os.fspath(val), "command": command}
        )
    finally:
        run.replicas.close()


class _Run:
    """The moving parts of one run: network, average, optimiser, and where it is."""

    def __init__(self, recipe: TrainingRecipe, out: Path, classes: tuple[str, ...], device: torch.device) -> None:
        self.recipe, self.out, self.classes, self.device = recipe, out, classes, device
        self.processor = processor_of(recipe)
        self.network: Any = _channels_last(first_network(recipe, dict(enumerate(classes))), device)
        self.average = AveragedNetwork(self.network, recipe.ema_decay)
        self.replicas = Replicas(self.network, recipe.batch_size, device)
        groups = parameter_groups(self.network, recipe.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.peak_rate, fused=True)
        self.failures: list[Failure] = []
        self.step = 0
        self.seconds = 0.0
        self.best: float | None = None
        self.best_epoch = 0
        self.accuracy: float | None = None
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.processor.image_mean, self.processor.image_std))
        self.mean, self.std = mean, std

    def read(self, train: Listing, held: Listing) -> Generator[TrainingProgress, None, None]:
        """Reads all pictures once."""
        total = len(train.files) + len(held.files)
        reading = read_training(train, self.recipe.last_size, self.failures)
        self.train = yield from as_progress(reading, 0, total, self.failures)
        measuring = read_measuring(held, picture_recipe(self.processor), self.failures)
        self.held = yield from as_progress(measuring, len(train.files), total, self.failures)
        self.per_epoch = max(1, len(self.train.labels) // self.recipe.batch_size)
        self.steps = self.per_epoch * self.recipe.epochs

    def restore(self, state: dict[str, Any] | None) -> None:
        """Goes on where the state was saved."""
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        for twin in self.replicas.networks[1:]:
            twin.load_state_dict(state["network"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.best_epoch, self.accuracy = state["best"], state["best_epoch"], state["accuracy"]

    def save(self, identity: str, seconds: float) -> None:
        """The state on disk is this one from now on."""
        save_state(
            self.out,
            {
                "identity": identity,
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "seconds": seconds,
                "best": self.best,
                "best_epoch": self.best_epoch,
                "accuracy": self.accuracy,
            },
        )

    def epochs(self, identity: str, save_every_s: float) -> Iterator[TrainingProgress]:
        """All steps that are left, a progress after each."""
        before, start = self.seconds, time.monotonic()
        saved = start
        if self.step == 0:
            self.save(identity, 0.0)  # so that whatever is found in the folder from now on is known to be this run's
        pace = Pace(self.recipe, self.per_epoch)
        pictures: TrainingPictures | None = None
        prepared_size = 0
        while self.step < self.steps:
            epoch, place = divmod(self.step, self.per_epoch)
            size = self.recipe.size_at(epoch)
            if pictures is None or size != prepared_size:
                pictures, prepared_size = self.train.at(size), size
            loss = self._one_step(pictures, epoch, place, size)
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {self.step + 1}: try a lower --lr, or without --bf16")
            self.step += 1
            pace.count(self.step, size)
            if self.step % self.per_epoch == 0 and self._measures_after(epoch):
                self._measure(epoch)
            self.seconds = before + time.monotonic() - start
            if time.monotonic() - saved >= save_every_s or self.step == self.steps:
                self.save(identity, self.seconds)
                saved = time.monotonic()
            yield TrainingProgress(
                phase_words(epoch + 1, self.recipe.epochs, loss, self.accuracy, self.best), self.step, self.steps,
                len(self.failures), epoch + 1, loss, self.accuracy, self.best,
                pace.images_per_second, pace.seconds_left,
            )  # fmt: skip

    def _one_step(self, pictures: TrainingPictures, epoch: int, place: int, size: int) -> float:
        recipe = self.recipe
        order = torch.randperm(len(pictures.labels), generator=_generator(recipe.seed, epoch, 0))
        rows = order[place * recipe.batch_size : (place + 1) * recipe.batch_size]
        warmup = round(min(recipe.warmup_epochs, recipe.epochs / 4) * self.per_epoch)
        rate = learning_rate(self.step, self.steps, warmup, recipe.peak_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

        def loss_of(network: Any, part: int, rows: Tensor) -> Tensor:
            generator = _generator(recipe.seed, self.step, 1 + part)
            x = augmented(pictures.pixels[rows], pictures.aspects[rows], size, recipe, generator)
            targets = F.one_hot(pictures.labels[rows], len(self.classes)).float()
            x, targets = mixed((x - self.mean) / self.std, targets, recipe.mix, generator)
            logits = self._logits(network, x)
            return F.cross_entropy(logits, targets.to(logits.device), label_smoothing=recipe.label_smoothing)

        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**62, (), generator=_generator(recipe.seed, self.step, 0))))
            loss = self.replicas.losses(loss_of, rows)
        self.optimiser.step()
        self.average.update(self.network, self.step)
        return float(loss)

    def _logits(self, network: Any, x: Tensor) -> Tensor:
        x = x.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            return network(x).logits.float()

    def _measures_after(self, epoch: int) -> bool:
        left = self.recipe.epochs - 1 - epoch
        return left % max(1, self.recipe.epochs // _MEASUREMENTS) == 0

    def _measure(self, epoch: int) -> None:
        """Measures the averaged network, and keeps it where it is the best so far."""
        self.accuracy = float((self._held_logits(self.average.network).argmax(1) == self.held.labels).float().mean())
        if self.best is None or self.accuracy >= self.best:
            self.best, self.best_epoch = self.accuracy, epoch + 1
            kept = self.average.network
            if self.recipe.half:
                kept = copy.deepcopy(kept).half()
            kept.save_pretrained(self.out, processor=self.processor)

    @torch.inference_mode()
    def _held_logits(self, network: Any) -> Tensor:
        def logits(pixels: Tensor) -> Tensor:
            with torch.inference_mode():
                x = (pixels.permute(0, 3, 1, 2).float().div(255) - self.mean) / self.std
                return self._logits(network, x).cpu()

        return torch.cat(self.replicas.map(logits, self.held.pixels.split(_BATCH_TO_MEASURE)))

    def finish(self, asked: dict[str, str | None]) -> TrainingProgress:
        """Measures the checkpoint as it was written, leaves the report beside it and hands it out."""
        kept = _channels_last(type(self.network).from_pretrained(self.out), self.device)
        document: dict[str, Any] = {"checkpoint": os.fspath(self.out)} | asked
        document |= measured(self._held_logits(kept), self.held.labels, self.classes)
        document |= {
            "classes": len(self.classes),
            "trained_on": len(self.train.labels),
            "parameters": self.network.num_parameters(),
            "best_epoch": self.best_epoch,
            "failed": [vars(failure) for failure in self.failures],
            "seconds": round(self.seconds, 1),
            "recipe": self.recipe.as_dict(),
        }
        write_files(self.out, {REPORT_NAME: (json.dumps(document, indent=2) + "\n").encode()})
        forget_state(self.out)
        return TrainingProgress(
            "finished", self.steps, self.steps, len(self.failures), self.recipe.epochs, report=document
        )


def _channels_last(network: Any, device: torch.device) -> Any:
    return network.to(device, memory_format=torch.channels_last)


def _generator(seed: int, *place: int) -> torch.Generator:
    """Random numbers that belong to one place of a run."""
    whole = hashlib.blake2b(repr((seed, *place)).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(whole, "big"))
