"""The parts of training, each by itself: split, pictures, average, schedule, replicas, report."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from regconv.errors import TrainingError
from regconv.torch.training import data
from regconv.torch.training.data import Listing, list_classes, read_training, split
from regconv.torch.training.ema import AveragedNetwork
from regconv.torch.training.replicas import Replicas
from regconv.torch.training.report import measured
from regconv.torch.training.schedule import learning_rate, parameter_groups


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestSplit:
    def listing(self, count: int = 20) -> Listing:
        files = [(Path(name) / f"{i}.jpg", label) for label, name in enumerate(["cat", "dog"]) for i in range(count)]
        return Listing(("cat", "dog"), tuple(files))

    def test_every_class_gives_its_share_and_nothing_is_in_both(self) -> None:
        train, held = split(self.listing(), 0.1, seed=0)
        assert [sum(label == number for _, label in held.files) for number in (0, 1)] == [2, 2]
        assert not set(train.files) & set(held.files)
        assert {*train.files, *held.files} == set(self.listing().files)

    def test_it_depends_on_the_seed_and_names_alone(self) -> None:
        backwards = Listing(("cat", "dog"), self.listing().files[::-1])
        assert split(self.listing(), 0.2, 1) == split(backwards, 0.2, 1)
        assert split(self.listing(), 0.2, 1) != split(self.listing(), 0.2, 2)

    def test_small_classes_keep_one_picture_on_both_sides(self) -> None:
        for share in (0.01, 0.99):
            train, held = split(self.listing(2), share, seed=0)
            assert len(train.files) == len(held.files) == 2


class TestPictures:
    def make(self, folder: Path) -> Listing:
        for name, size in (("wide", (120, 60)), ("tall", (50, 100))):
            (folder / name / ".hidden").mkdir(parents=True)
            Image.new("RGB", size, (200, 100, 50)).save(folder / name / "a.png")
            Image.new("RGB", size, (0, 0, 0)).save(folder / name / ".hidden" / "b.png")
        return list_classes(folder)

    def finish(self, reading: Any) -> Any:
        while True:
            try:
                next(reading)
            except StopIteration as end:
                return end.value

    def test_squares_and_their_true_shapes(self, tmp_path: Path) -> None:
        listing = self.make(tmp_path)
        assert listing.classes == ("tall", "wide")
        pictures = self.finish(read_training(listing, 32, []))
        assert pictures.pixels.shape == (2, 3, 48, 48)
        assert pictures.aspects.tolist() == [0.5, 2.0]
        assert pictures.labels.tolist() == [0, 1]
        assert pictures.pixels[0, :, 10, 10].tolist() == [200, 100, 50]
        assert pictures.at(16).pixels.shape == (2, 3, 24, 24)
        assert pictures.at(64) is pictures

    def test_files_are_found_below_class_folders(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        (tmp_path / "wide" / "more").mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / "wide" / "more" / "c.jpg")
        assert [path.name for path, label in list_classes(tmp_path).files if label == 1] == ["a.png", "c.jpg"]

    def test_pictures_that_do_not_fit_are_refused_before_any_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listing = self.make(tmp_path)
        free = type("Memory", (), {"available": 1000})
        monkeypatch.setattr(data.psutil, "virtual_memory", lambda: free)
        with pytest.raises(TrainingError, match="train on fewer pictures, or with a smaller --size"):
            next(read_training(listing, 32, []))


class TestAverage:
    def test_it_follows_fast_at_first_and_slowly_later(self) -> None:
        trained = nn.Linear(1, 1)
        nn.init.zeros_(trained.weight)
        average = AveragedNetwork(trained, decay=0.99)
        nn.init.ones_(trained.weight)
        average.update(trained, step=0)
        assert average.network.weight.item() == pytest.approx(0.9)
        average.update(trained, step=1_000_000)
        assert average.network.weight.item() == pytest.approx(0.9 + 0.01 * 0.1)
        assert not average.network.training
        assert not average.network.weight.requires_grad

    def test_statistics_are_averaged_and_counts_copied(self) -> None:
        trained = nn.BatchNorm2d(2)
        average = AveragedNetwork(trained, decay=0.9)
        trained.running_mean.fill_(1.0)
        trained.num_batches_tracked.fill_(7)
        average.update(trained, step=1000)
        assert average.network.running_mean.tolist() == pytest.approx([0.1, 0.1])
        assert average.network.num_batches_tracked.item() == 7


def test_rates_rise_and_fall() -> None:
    rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_norms_biases_and_layer_scales_do_not_decay(tiny_config: Any) -> None:
    from regconv.torch import ConvNextForImageClassification

    network = ConvNextForImageClassification(tiny_config("convnext"))
    decayed, free = parameter_groups(network, 0.05)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0.0)
    kernels = {
        f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert {names[id(parameter)] for parameter in decayed["params"]} == kernels
    assert {names[id(parameter)] for parameter in free["params"]} == set(names.values()) - kernels
    assert len(decayed["params"]) + len(free["params"]) == len(names)


class TestReplicas:
    def losses(self, network: Any, batch: int, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, Replicas]:
        replicas = Replicas(network, batch, torch.device("cpu"))
        try:
            total = replicas.losses(
                lambda net, _, rows: nn.functional.mse_loss(net(x[rows]), y[rows]), torch.arange(len(x))
            )
        finally:
            replicas.close()
        return total, replicas

    def test_the_gradient_is_that_of_the_whole_batch(self) -> None:
        x, y = torch.randn(35, 6), torch.randn(35, 2)
        network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
        alone = copy.deepcopy(network)
        nn.functional.mse_loss(alone(x), y).backward()
        torch.set_num_threads(2)
        try:
            total, replicas = self.losses(network, 35, x, y)
        finally:
            torch.set_num_threads(1)
        assert replicas.count == 2
        assert total.item() == pytest.approx(nn.functional.mse_loss(alone(x), y).item(), rel=1e-5)
        for own, expected in zip(network.parameters(), alone.parameters(), strict=True):
            assert torch.allclose(own.grad, expected.grad, atol=1e-6)
        twin = replicas.networks[1]
        assert all(p.data_ptr() == q.data_ptr() for p, q in zip(network.parameters(), twin.parameters(), strict=True))

    def test_statistics_are_the_mean_of_all_parts(self) -> None:
        x = torch.cat([torch.zeros(16, 3, 2, 2), torch.ones(16, 3, 2, 2)])
        network = nn.BatchNorm2d(3, momentum=1.0)
        torch.set_num_threads(2)
        try:
            _, replicas = self.losses(network, 32, x, x)
        finally:
            torch.set_num_threads(1)
        for one in replicas.networks:
            assert one.running_mean.tolist() == pytest.approx([0.5] * 3)

    def test_small_batches_stay_in_one_piece(self) -> None:
        torch.set_num_threads(2)
        try:
            replicas = Replicas(nn.Linear(1, 1), 24, torch.device("cpu"))
            replicas.close()
        finally:
            torch.set_num_threads(1)
        assert replicas.count == 1


def test_the_report_counts_hits_and_confusions() -> None:
    classes = ("ant", "bee", "cat", "dog", "eel", "fox")
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 3, 4])
    taken = torch.tensor([0, 1, 1, 0, 1, 2, 2, 4])
    logits = nn.functional.one_hot(taken, 6).float()
    logits[:, 5] = -1  # last of all, so that five others come first
    document = measured(logits, labels, classes)
    assert (document["pictures"], document["top1"], document["top5"]) == (8, 0.5, 1.0)
    assert document["confused"] == [
        {"classes": ["ant", "bee"], "pictures": 3, "of": 5},
        {"classes": ["cat", "dog"], "pictures": 1, "of": 2},
    ]


@pytest.mark.skipif(not os.environ.get("REGCONV_DATA"), reason="REGCONV_DATA is not set: no caltech101 here")
def test_caltech_is_listed_and_split() -> None:
    listing = list_classes(Path(os.environ["REGCONV_DATA"]) / "caltech101" / "train")
    train, held = split(listing, 0.1, 0)
    assert (len(listing.classes), len(listing.files)) == (101, 3763)
    assert len(train.files) + len(held.files) == 3763
    assert {label for _, label in held.files} == set(range(101))
