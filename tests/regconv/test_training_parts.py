"""The parts of training, each by itself: pictures, augmentation, average, schedule, replicas, report."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from regconv.errors import TrainingError
from regconv.torch.training import TrainingRecipe, data
from regconv.torch.training.augment import augmented, mixed
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


class TestAugmentation:
    def square(self) -> torch.Tensor:
        """A smooth picture whose red grows to the right and whose green grows downwards, 64 x 64."""
        ramp = torch.linspace(0, 255, 64)
        return torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.full((64, 64), 99.0)]).byte()

    def plain(self, **changes: Any) -> TrainingRecipe:
        return TrainingRecipe(**({"strength": 0.0, "erase": 0.0, "smallest_crop": 1.0} | changes))

    def test_without_strength_and_crop_it_is_the_picture_or_its_mirror_image(self) -> None:
        pictures = self.square().expand(40, 3, 64, 64)
        recipe = self.plain()
        # Aspect 1; the drawn shapes cut the crop on one side only, so the middle is compared.
        x = augmented(pictures, torch.ones(40), 64, recipe, generator())
        assert (x[:, 2] - 99 / 255).abs().max() < 1e-5
        slope = x[:, 0, 32, 40] - x[:, 0, 32, 24]
        assert bool((slope.abs() > 0.1).all())
        assert 8 < int((slope > 0).sum()) < 32  # about half are flipped
        down = x[:, 1, 40, 32] - x[:, 1, 24, 32]
        assert bool((down > 0.1).all())  # never upside down

    def test_crops_keep_true_shapes(self) -> None:
        # A circle in a picture twice as wide as high is an ellipse in the stored square.
        y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-2, 2, 128), indexing="ij")
        circle = ((x**2 + y**2 < 0.5).float() * 255).byte().expand(1, 3, 128, 128)
        widths, heights = [], []
        for seed in range(60):
            one = augmented(circle, torch.tensor([2.0]), 64, self.plain(smallest_crop=0.9), generator(seed))[0, 0] > 0.5
            rows, columns = one.any(1).sum().item(), one.any(0).sum().item()
            if not (one[0].any() or one[-1].any() or one[:, 0].any() or one[:, -1].any()):
                widths.append(columns)
                heights.append(rows)
        assert len(widths) > 10
        # The crop of 90 % of a 2:1 picture is about 1.8 by 1 and becomes square: what is left is that ratio.
        assert 1.2 < np.mean(heights) / np.mean(widths) < 2.1

    def test_the_same_generator_gives_the_same_pictures(self) -> None:
        pictures, recipe = self.square().expand(4, 3, 64, 64), TrainingRecipe()
        one, two, other = (augmented(pictures, torch.ones(4), 32, recipe, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, two)
        assert not torch.equal(one, other)
        assert one.shape == (4, 3, 32, 32)
        assert bool(torch.isfinite(one).all())
        assert -1.5 < one.min() < one.max() < 3

    def test_grey_stays_grey_whatever_the_colours_do(self) -> None:
        grey = torch.full((30, 3, 48, 48), 120, dtype=torch.uint8)
        x = augmented(grey, torch.ones(30), 32, self.plain(strength=1.0), generator())
        assert (x.amax(1) - x.amin(1)).max() < 1e-4
        assert x.mean(dim=(1, 2, 3)).std() > 0.02  # brightness does change

    def test_erasing_hits_a_share_of_the_pictures(self) -> None:
        grey = torch.full((200, 3, 48, 48), 120, dtype=torch.uint8)
        x = augmented(grey, torch.ones(200), 32, self.plain(erase=0.3), generator())
        hit = (x - 120 / 255).abs().amax(dim=(1, 2, 3)) > 1e-3
        assert 0.2 < hit.float().mean() < 0.4

    def test_mixing_mixes_targets_as_it_mixes_pictures(self) -> None:
        x = torch.stack([torch.full((3, 20, 20), float(value)) for value in range(8)])
        targets = torch.eye(8)
        for seed in range(12):
            y, mixed_targets = mixed(x, targets, 1.0, generator(seed))
            assert torch.allclose(mixed_targets.sum(1), torch.ones(8))
            # A picture's mean says what it is made of, and so do the targets.
            assert torch.allclose(y.mean(dim=(1, 2, 3)), mixed_targets @ torch.arange(8.0), atol=1e-4)
        same, same_targets = mixed(x, targets, 0.0, generator())
        assert same is x
        assert same_targets is targets


class TestSizes:
    def test_they_grow_to_a_little_below_the_networks_own(self) -> None:
        recipe = TrainingRecipe(size=144, epochs=200)
        sizes = [recipe.size_at(epoch) for epoch in range(200)]
        assert sizes == sorted(sizes)
        assert sorted(set(sizes)) == [64, 80, 96, 112, 128]
        assert sizes.count(128) == 40
        assert [TrainingRecipe(size=144, epochs=2).size_at(epoch) for epoch in (0, 1)] == [96, 128]
        assert TrainingRecipe(size=144, epochs=1).size_at(0) == 128

    def test_a_checkpoint_sees_its_own_size_from_the_beginning(self) -> None:
        assert TrainingRecipe(start="starter", size=144, epochs=9).size_at(0) == 128

    @pytest.mark.parametrize(
        ("size", "first", "expected"), [(128, None, [64, 80, 96, 112]), (128, 112, [112]), (32, None, [32])]
    )
    def test_first_and_small_sizes(self, size: int, first: int | None, expected: list[int]) -> None:
        recipe = TrainingRecipe(size=size, first_size=first, epochs=20)
        assert sorted({recipe.size_at(epoch) for epoch in range(20)}) == expected


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
