import numpy as np
import pytest

from efdet_jax.data.crops import Crop, central_crop, cut, random_crop

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)


def draws(size, count=500, area=AREA, aspect=ASPECT):
    rng = np.random.default_rng(0)
    return [random_crop(size, area=area, aspect=aspect, rng=rng) for _ in range(count)]


@pytest.mark.parametrize("size", [(300, 400), (90, 70), (200, 37)])
def test_random_crops_lie_within_the_image_and_the_ranges(size):
    for top, left, height, width in draws(size):
        assert min(top, left) >= 0
        assert top + height <= size[0]
        assert left + width <= size[1]
        if (height, width) != size:
            # Sides are whole pixels.
            assert 0.07 < height * width / (size[0] * size[1]) <= 1
            assert 0.7 < width / height < 1.4


def test_areas_and_places_spread_over_what_is_allowed():
    crops = np.array(draws((1000, 1000), area=(0.2, 0.4)))
    shares = crops[:, 2] * crops[:, 3] / 1e6
    np.testing.assert_allclose(
        np.quantile(shares, [0.1, 0.5, 0.9]), [0.22, 0.3, 0.38], atol=0.02
    )
    room = 1000 - crops[:, 2]
    np.testing.assert_allclose(
        np.quantile(crops[:, 0] / room, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.07
    )


def test_an_image_that_no_draw_fits_is_taken_whole():
    assert set(draws((4, 400), count=20)) == {Crop(0, 0, 4, 400)}


def test_every_draw_takes_as_many_random_numbers():
    states = []
    for size in ((300, 300), (4, 400)):
        rng = np.random.default_rng(1)
        random_crop(size, area=AREA, aspect=ASPECT, rng=rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("size", "output", "padding", "expected"),
    [
        ((500, 400), (224, 224), 32, Crop(75, 25, 350, 350)),
        ((400, 501), (224, 224), 32, Crop(25, 76, 350, 350)),
        ((64, 64), (32, 32), 0, Crop(0, 0, 64, 64)),
        ((60, 200), (30, 60), 0, Crop(0, 40, 60, 120)),
    ],
)
def test_the_middle_of_an_image_is_the_one_worked_by_hand(
    size, output, padding, expected
):
    assert central_crop(size, output_size=output, padding=padding) == expected


def test_what_is_cut_is_that_part_and_nothing_beside_it():
    image = np.zeros((40, 50, 3), np.uint8)
    image[10:30, 5:25] = 200
    found = cut(image, Crop(10, 5, 20, 20), output_size=(32, 24))
    assert found.shape == (32, 24, 3)
    assert (found == 200).all()


def test_a_cut_in_its_own_size_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    found = cut(image, Crop(3, 4, 10, 12), output_size=(10, 12))
    np.testing.assert_array_equal(found, image[3:13, 4:16])
