"""What training makes of its pictures: crops, colours, erasing, mixing, and the sizes they are seen in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from regconv.torch.training import TrainingRecipe
from regconv.torch.training.augment import augmented, mixed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
