"""Random numbers: one generator for each seed and purpose; and what augmentation does with them to images."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from actbench.augment import crop, flip, shift_rotate
from actbench.train.seeding import derive, generator, generators, global_seed

PURPOSES = ("init", "order", "dropout", "augment")

# ---------------------------------------------------------------- seeding


@pytest.mark.parametrize(
    ("seed", "purpose", "value"),
    [  # int.from_bytes(hashlib.sha256(b"actbench/init/0").digest()[:8], "big") >> 1
        (0, "init", 6564099553929320721),
        (7, "order", 5476489005942059245),
    ],
)
def test_the_derived_seed_is_the_same_for_ever(seed, purpose, value):
    assert derive(seed, purpose) == value


def test_no_two_seeds_or_purposes_share_a_derived_seed():
    derived = [derive(seed, purpose) for seed in range(2000) for purpose in PURPOSES]
    assert len(set(derived)) == len(derived)
    assert all(0 <= value < 2**63 for value in derived)


def test_streams_of_neighbouring_seeds_and_of_purposes_are_uncorrelated():
    n = 4000
    streams = [torch.randn(n, generator=generator(s, p)) for s, p in itertools.product((0, 1, 2), PURPOSES)]
    correlations = torch.corrcoef(torch.stack(streams)) - torch.eye(len(streams))
    assert correlations.abs().max().item() < 5 / math.sqrt(n)


def test_generators_are_those_of_each_seed_alone():
    together = [torch.rand(5, generator=g) for g in generators([4, 0, 9], "dropout")]
    alone = [torch.rand(5, generator=generator(seed, "dropout")) for seed in (4, 0, 9)]
    theirs = [torch.rand(5, generator=torch.Generator().manual_seed(derive(seed, "dropout"))) for seed in (4, 0, 9)]
    for one, two, three in zip(together, alone, theirs, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_drawing_for_one_purpose_disturbs_no_other():
    undisturbed = torch.randperm(50, generator=generator(3, "order"))
    order, dropout = generator(3, "order"), generator(3, "dropout")
    torch.rand(1000, generator=dropout)
    torch.rand(1000)
    assert torch.equal(torch.randperm(50, generator=order), undisturbed)


def test_within_global_seed_torch_draws_as_after_manual_seed_and_afterwards_as_if_nothing_had_been():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        before = torch.get_rng_state()
        expected = torch.rand(4)
        torch.set_rng_state(before)
        with global_seed(6, "init"):
            inside = torch.rand(4)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(torch.rand(4), expected)
        torch.manual_seed(derive(6, "init"))
        assert torch.equal(inside, torch.rand(4))


def test_global_seed_restores_the_state_after_an_error_too():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), global_seed(0, "init"):
        torch.rand(3).view(2, 2)
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- shift_rotate


def pictures(seeds=2, batch=3, channels=1, size=8):
    return torch.rand(seeds, batch, channels, size, size, generator=torch.Generator().manual_seed(5))


def augmented(images, *, degrees=0.0, translate=0.0, background=0.0, seeds=None):
    seeds = range(len(images)) if seeds is None else seeds
    return shift_rotate(
        images,
        generators=generators(list(seeds), "augment"),
        background=background,
        degrees=degrees,
        translate=translate,
    )


@pytest.fixture
def force(monkeypatch):
    """Makes every draw of torch.rand one given row: (angle, horizontal shift, vertical shift), each in 0..1."""

    def set_draws(*row):
        def rand(*shape, **_):
            return torch.tensor(row).expand(*shape)

        monkeypatch.setattr(torch, "rand", rand)

    return set_draws


def test_no_rotation_and_no_shift_is_the_identity():
    images = pictures()
    torch.testing.assert_close(augmented(images, background=-0.4), images, rtol=0, atol=1e-5)


def test_the_middle_of_both_ranges_is_the_identity(force):
    images = pictures()
    force(0.5, 0.5, 0.5)
    torch.testing.assert_close(augmented(images, degrees=90, translate=0.5), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("columns", "rows"), [(2, 0), (0, 3), (-2, 0), (0, -1), (3, -2), (-1, 1)])
def test_a_shift_by_whole_pixels_moves_every_pixel_and_brings_in_background(force, columns, rows):
    size, largest, background = 8, 4, -0.7
    images = pictures(size=size)
    force(0.5, (columns / largest + 1) / 2, (rows / largest + 1) / 2)
    moved = augmented(images, translate=largest / size, background=background)
    expected = torch.full_like(images, background)
    for r, c in itertools.product(range(size), range(size)):
        if 0 <= r + rows < size and 0 <= c + columns < size:
            expected[..., r, c] = images[..., r + rows, c + columns]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [7, 8])
def test_rotations_by_90_degrees_are_rot90_once_in_each_direction(force, size):
    images = pictures(channels=2, size=size)
    turned = []
    for end in (0.0, 1.0):
        force(end, 0.5, 0.5)
        turned.append(augmented(images, degrees=90, background=0.3))
    directions = [torch.rot90(images, k, dims=(-2, -1)) for k in (1, -1)]
    if (turned[0] - directions[0]).abs().max() > 0.01:
        directions.reverse()
    for ours, theirs in zip(turned, directions, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_a_rotation_by_180_degrees_turns_the_image_upside_down(force):
    images = pictures()
    force(1.0, 0.5, 0.5)
    torch.testing.assert_close(augmented(images, degrees=180), images.flip(-2, -1), rtol=0, atol=1e-4)


def test_each_image_is_moved_by_its_own_draw_and_interpolated_bilinearly():
    seeds, batch, size, degrees, translate, background = 2, 3, 9, 25.0, 0.2, -0.4
    images = pictures(seeds, batch, 2, size)
    ours = augmented(images, degrees=degrees, translate=translate, background=background, seeds=[3, 8])
    places = 2 * (np.arange(size) + 0.5) / size - 1  # centres of the pixels, where the image spans -1..1
    y, x = np.meshgrid(places, places, indexing="ij")
    for s, seed in enumerate((3, 8)):
        draws = 2 * torch.rand(batch, 3, generator=generator(seed, "augment")).double().numpy() - 1
        for b, (angle, across, down) in enumerate(draws):
            turn = math.radians(degrees * angle)
            from_x = math.cos(turn) * x - math.sin(turn) * y + 2 * translate * across
            from_y = math.sin(turn) * x + math.cos(turn) * y + 2 * translate * down
            pixels = [((along + 1) * size - 1) / 2 for along in (from_y, from_x)]
            for channel, picture in enumerate(images[s, b].double().numpy()):
                theirs = map_coordinates(picture, pixels, order=1, mode="grid-constant", cval=background)
                np.testing.assert_allclose(ours[s, b, channel].numpy(), theirs, atol=2e-5)


def test_draws_stay_within_their_ranges_and_fill_them():
    size, batch = 21, 400
    images = torch.zeros(1, batch, 1, size, size)
    images[..., size // 2, size // 2] = 1.0  # one bright pixel in the middle, where rotations leave it
    moved = augmented(images, degrees=30, translate=0.25)[0, :, 0]
    places = torch.arange(size) - size // 2.0
    for dim in (1, 2):
        share = (moved.sum(dim) * places).sum(1) / moved.sum((1, 2)) / size
        assert share.abs().max().item() < 0.25 * math.sqrt(2) + 1 / size
        assert share.max().item() > 0.2
        assert share.min().item() < -0.2


def test_an_empty_image_stays_empty():
    images = torch.full((2, 3, 1, 8, 8), -0.42)
    moved = augmented(images, degrees=45, translate=0.5, background=-0.42)
    torch.testing.assert_close(moved, images, rtol=0, atol=1e-6)


def test_what_comes_in_from_outside_is_background(force):
    images = pictures()
    force(0.5, 1.0, 0.5)
    moved = augmented(images, translate=1.0, background=-0.42)
    torch.testing.assert_close(moved, torch.full_like(moved, -0.42), rtol=0, atol=1e-6)


def test_a_seed_gets_what_it_would_get_alone():
    images = pictures(seeds=4, batch=5)
    together = augmented(images, degrees=20, translate=0.2, background=-0.1, seeds=[0, 1, 2, 3])
    for seed in range(4):
        alone = augmented(images[seed : seed + 1], degrees=20, translate=0.2, background=-0.1, seeds=[seed])
        assert torch.equal(together[seed : seed + 1], alone)


def test_every_image_every_batch_and_every_seed_is_moved_differently():
    images = pictures(seeds=1, batch=1).expand(2, 3, 1, 8, 8)
    streams = generators([0, 1], "augment")
    batches = [shift_rotate(images, generators=streams, background=0.0, degrees=20, translate=0.2) for _ in range(2)]
    moved = torch.cat(batches).flatten(0, 1)
    assert len({tuple(image.flatten().tolist()) for image in moved}) == len(moved) == 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_the_original_stay(dtype):
    images = pictures(channels=3).to(dtype)
    before = images.clone()
    moved = augmented(images, degrees=20, translate=0.2)
    assert moved.shape == images.shape
    assert moved.dtype == dtype
    assert torch.equal(images, before)
    assert not torch.equal(moved, before)


# ---------------------------------------------------------------- flips, crops and colours

BLACK = torch.tensor([-0.5, 0.25, 1.5]).view(3, 1, 1)  # of each channel


def cropped(images, *, padding, flipped=0.0, background=0.0, seeds=None):
    seeds = range(len(images)) if seeds is None else seeds
    streams = generators(list(seeds), "augment")
    return crop(images, generators=streams, background=background, padding=padding, flipped=flipped)


def test_what_comes_in_is_the_background_of_each_channel(force):
    images = pictures(channels=3)
    force(0.5, 1.0, 0.5)
    moved = augmented(images, translate=1.0, background=BLACK)
    torch.testing.assert_close(moved, BLACK.expand(images.shape), rtol=0, atol=1e-6)
    assert torch.equal(
        augmented(images, degrees=20, background=torch.full((3, 1, 1), 0.5)),
        augmented(images, degrees=20, background=0.5),
    )


def test_a_flip_mirrors_each_image_or_not_by_its_own_draw():
    images = pictures(seeds=2, batch=200, channels=3)
    ours = flip(images, generators=generators([3, 8], "augment"), background=0.0, probability=0.3)
    for s, seed in enumerate((3, 8)):
        mirrored = torch.rand(200, generator=generator(seed, "augment")) < 0.3
        assert 30 < mirrored.sum() < 90
        for b in range(200):
            assert torch.equal(ours[s, b], images[s, b].flip(-1) if mirrored[b] else images[s, b])
    for probability, expected in ((0.0, images), (1.0, images.flip(-1))):
        streams = generators([0, 1], "augment")
        assert torch.equal(flip(images, generators=streams, background=0.0, probability=probability), expected)


@pytest.mark.parametrize("background", [-0.7, BLACK])
def test_a_crop_is_a_part_of_the_padded_image_at_its_own_place(background):
    padding, (height, width) = 3, (6, 5)
    images = torch.rand(2, 40, 3, height, width, generator=torch.Generator().manual_seed(1))
    ours = cropped(images, padding=padding, background=background, seeds=[3, 8])
    for s, seed in enumerate((3, 8)):
        draws = torch.rand(40, 2, generator=generator(seed, "augment"))
        for b, (down, across) in enumerate((draws * (2 * padding + 1)).int().tolist()):
            padded = torch.as_tensor(background).expand(3, height + 6, width + 6).clone()
            padded[:, 3:-3, 3:-3] = images[s, b]
            assert torch.equal(ours[s, b], padded[:, down : down + height, across : across + width])


def test_crops_reach_every_place_and_are_mirrored_as_often_as_they_should():
    images = torch.zeros(1, 600, 1, 9, 9)
    images[..., 4, 3] = 1.0
    places = cropped(images, padding=2, flipped=0.5)[0, :, 0].flatten(1).argmax(1)
    rows, columns = places // 9, places % 9
    assert {*rows.tolist()} == {2, 3, 4, 5, 6}
    assert {*columns.tolist()} == {*range(1, 8)}, "3 ± 2, and mirrored 5 ± 2"
    whole = cropped(images, padding=2, flipped=1.0)[0, :, 0].flatten(1).argmax(1) % 9
    assert {*whole.tolist()} == {3, 4, 5, 6, 7}


def test_seeds_flip_and_crop_as_they_would_alone():
    images = pictures(seeds=3, batch=5, channels=3)
    together = cropped(images, padding=2, flipped=0.5, background=BLACK)
    for seed in range(3):
        alone = cropped(images[seed : seed + 1], padding=2, flipped=0.5, background=BLACK, seeds=[seed])
        assert torch.equal(together[seed : seed + 1], alone)
