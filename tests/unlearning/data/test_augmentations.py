from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unlearning.data.augmentations import AugmentationConfig, augment, independent_views
from unlearning.data.records import as_pixels

STRENGTH = st.floats(0, 0.95)


def config_of(**changes: float) -> AugmentationConfig:
    """Nothing but the named changes."""
    off = {"crop_min_scale": 1.0, "flip": 0.0, "brightness": 0.0, "contrast": 0.0, "grayscale": 0.0}
    return AugmentationConfig(**(off | changes))


def view(pixels: Tensor, seed: int = 0, **changes: float) -> Tensor:
    return augment(pixels, config_of(**changes), torch.Generator().manual_seed(seed))


def noise(count: int, channels: int = 3, side: int = 6, low: float = 0, high: float = 1) -> Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.empty(count, channels, side, side).uniform_(low, high, generator=draw)


@given(
    crop=st.floats(0.05, 1), flip=st.floats(0, 1), bright=STRENGTH, contrast=STRENGTH, grey=st.floats(0, 1),
    channels=st.sampled_from([1, 3]), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_view_has_the_shape_and_the_range_of_its_image(
    crop: float, flip: float, bright: float, contrast: float, grey: float, channels: int, seed: int
) -> None:
    pixels = noise(4, channels)
    changed = view(pixels, seed, crop_min_scale=crop, flip=flip, brightness=bright, contrast=contrast, grayscale=grey)
    assert changed.shape == pixels.shape
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6


def test_with_everything_off_a_view_is_the_image() -> None:
    pixels = noise(4)
    assert torch.equal(view(pixels), pixels)


def test_the_same_generator_state_gives_the_same_views_and_another_does_not() -> None:
    pixels, default = noise(4), AugmentationConfig()
    first, again, other = (augment(pixels, default, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_the_generator_is_the_only_source_of_randomness() -> None:
    before = torch.get_rng_state()
    augment(noise(4), AugmentationConfig(grayscale=0.5), torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_image_of_a_batch_draws_its_own_changes() -> None:
    same = noise(1).expand(16, -1, -1, -1)
    for changed in (view(same, crop_min_scale=0.3), view(same, brightness=0.5), view(same, contrast=0.5)):
        assert len(torch.unique(changed.flatten(1), dim=0)) == 16


def test_a_flip_mirrors_left_and_right() -> None:
    pixels = noise(3)
    torch.testing.assert_close(view(pixels, flip=1), pixels.flip(-1), atol=1e-5, rtol=0)


def test_flips_happen_with_their_probability() -> None:
    pixels = noise(1, 1).expand(4000, -1, -1, -1)
    changed = (view(pixels, flip=0.3) - pixels).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert abs(changed.float().mean().item() - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5


def ramp(count: int, side: int, axis: int) -> Tensor:
    """Pixels that rise evenly from 0 to 1 along one axis."""
    line = torch.linspace(0, 1, side)
    image = line[:, None].expand(side, side) if axis == 2 else line[None, :].expand(side, side)
    return image.expand(count, 1, side, side).clone()


@pytest.mark.parametrize("axis", [2, 3])
def test_a_crop_stretches_a_ramp_by_its_side(axis: int) -> None:
    """A linear image stays linear: its slope is the crop's side, whose square is the cropped area."""
    side, smallest = 32, 0.25
    views = view(ramp(2000, side, axis), crop_min_scale=smallest)
    line = views[:, 0, :, 0] if axis == 2 else views[:, 0, 0, :]
    steps = line.diff(dim=1)[:, 2:-2] * (side - 1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), atol=1e-3, rtol=0)
    area = steps[:, 0].square()
    assert area.min() >= smallest - 1e-3
    assert area.max() <= 1 + 1e-3
    expected, spread = (1 + smallest) / 2, (1 - smallest) / 12**0.5
    assert abs(area.mean().item() - expected) < 4 * spread / 2000**0.5


def test_crops_reach_all_sides_of_the_image() -> None:
    views = view(ramp(2000, 32, 3), crop_min_scale=0.25)[:, 0, 0]
    assert views[:, 0].min() < 0.01
    assert views[:, 0].max() > 0.4
    assert views[:, -1].max() > 0.99
    assert views[:, -1].min() < 0.6


def test_a_crop_invents_no_pixels() -> None:
    pixels = noise(64, 1, low=0.2, high=0.8)
    views = view(pixels, crop_min_scale=0.1)
    assert torch.all(views.amin(dim=(1, 2, 3)) >= pixels.amin(dim=(1, 2, 3)) - 1e-5)
    assert torch.all(views.amax(dim=(1, 2, 3)) <= pixels.amax(dim=(1, 2, 3)) + 1e-5)


def test_brightness_multiplies_the_whole_image_by_one_factor_in_range() -> None:
    pixels = noise(500, low=0.1, high=0.5)
    factors = (view(pixels, brightness=0.4) / pixels).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert 0.6 - 1e-5 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4 + 1e-5


def test_contrast_scales_deviations_from_the_mean_by_one_factor_in_range() -> None:
    pixels = noise(500, low=0.3, high=0.7)
    changed = view(pixels, contrast=0.4)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3), keepdim=True), mean)
    factors = ((changed - mean).flatten(1).norm(dim=1)) / ((pixels - mean).flatten(1).norm(dim=1))
    torch.testing.assert_close(changed - mean, (pixels - mean) * factors[:, None, None, None])
    assert 0.6 - 1e-5 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4 + 1e-5


def test_too_bright_pixels_are_clamped() -> None:
    changed = view(torch.ones(200, 1, 2, 2), brightness=0.5)
    assert changed.max() == 1
    assert changed.min() < 0.6


def test_grey_images_have_the_mean_of_the_channels_in_each() -> None:
    pixels = noise(5)
    expected = ((pixels[:, 0] + pixels[:, 1] + pixels[:, 2]) / 3)[:, None].expand_as(pixels)
    torch.testing.assert_close(view(pixels, grayscale=1), expected)


def test_images_turn_grey_whole_and_with_their_probability() -> None:
    pixels = noise(4000, side=2)
    unchanged = view(pixels, grayscale=0.2) == pixels
    assert torch.equal(unchanged.flatten(1).any(dim=1), unchanged.flatten(1).all(dim=1))
    share = 1 - unchanged.flatten(1).all(dim=1).float().mean().item()
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5


@pytest.mark.parametrize(
    "wrong",
    [{"crop_min_scale": 0}, {"crop_min_scale": 1.1}, {"flip": 1.1}, {"brightness": 1}, {"contrast": -0.1}, {"hue": 1}],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentationConfig(**wrong)


def test_independent_views_are_drawn_one_after_another() -> None:
    images = (noise(4) * 255).to(torch.uint8)
    config = AugmentationConfig()
    found = independent_views(images, 3, config, torch.Generator().manual_seed(1))
    draw = torch.Generator().manual_seed(1)
    expected = [augment(as_pixels(images), config, draw) for _ in range(3)]
    assert torch.equal(found, torch.stack(expected))
    assert not torch.equal(found[0], found[1])
