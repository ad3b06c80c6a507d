import cv2
import numpy as np
import pytest

from efdet_jax.pictures import (
    as_png,
    class_colour,
    draw_comparison,
    draw_found,
    text_colour,
)
from efdet_jax.structures import BACKGROUND, IGNORED

NAMES = ("cat", "dog")
GREY = np.full((400, 600, 3), 90, np.uint8)
NO_BOXES = np.zeros((0, 4), np.float32)
NOTHING = {
    "boxes": NO_BOXES,
    "classes": np.zeros(0, np.int32),
    "found_boxes": NO_BOXES,
    "found_scores": np.zeros(0, np.float32),
    "found_classes": np.zeros(0, np.int32),
    "owner": np.zeros(0, int),
}
SOFT = 20  # edges of lines are softened
BOX = np.float32([[100, 150, 300, 450]])


def draw(image=GREY, **changes):
    return draw_comparison(image, **(NOTHING | changes), names=NAMES)


def changed(picture):
    """Where the left and the right half differ from the image."""
    difference = (picture != np.concatenate([GREY, GREY], 1)).any(-1)
    return difference[:, :600], difference[:, 600:]


def test_without_boxes_both_halves_are_the_image():
    np.testing.assert_array_equal(draw(), np.concatenate([GREY, GREY], 1))


def test_the_truth_is_white_on_the_left_only():
    picture = draw(boxes=BOX, classes=np.int32([1]))
    left, _ = changed(picture)
    for row, column in ((100, 300), (300, 300), (200, 150), (200, 450)):
        assert (picture[row, column] > 255 - SOFT).all()
        assert (picture[row, 600 + column] <= 255 - SOFT).any()
    assert not left[120:280, 170:430].any()


def test_padding_rows_are_not_drawn():
    boxes, classes = np.zeros((3, 4), np.float32), np.full(3, -1, np.int32)
    np.testing.assert_array_equal(draw(boxes=boxes, classes=classes), draw())


def check_colour(pixel, colour):
    np.testing.assert_allclose(pixel.astype(int), colour, atol=SOFT)


def one_found(owner, score=0.9, **changes):
    return draw(
        found_boxes=BOX,
        found_scores=np.float32([score]),
        found_classes=np.int32([1]),
        owner=np.array([owner]),
        **changes,
    )


def hue(picture):
    """Of the box's left side in the right half, as a word."""
    red, green, blue = picture[200, 600 + 150].astype(int)
    if max(red, green, blue) - min(red, green, blue) < SOFT:
        return "grey"
    return {
        (True, False): "red",
        (False, True): "green",
        (True, True): "yellow",
    }[red > 180, green > 180]


def test_what_is_right_wrong_and_ignored_differs_in_colour_on_the_right_only():
    truth = {"boxes": BOX, "classes": np.int32([1])}
    assert hue(one_found(0, **truth)) == "green"
    assert hue(one_found(BACKGROUND)) == "red"
    assert hue(one_found(IGNORED)) == "grey"
    for owner in (BACKGROUND, IGNORED):
        left, right = changed(one_found(owner))
        assert not left.any()
        # The label of what is wrong stands at the foot of its box, not above it.
        assert right[285:295, 160:180].all() == (owner == BACKGROUND)
        assert right[:95].any() == (owner == IGNORED)


def test_an_object_that_none_has_found_is_yellow_on_the_right():
    truth = {"boxes": BOX, "classes": np.int32([1])}
    assert hue(draw(**truth)) == "yellow"
    # What has found it has a score at which nobody would act on it.
    np.testing.assert_array_equal(one_found(0, score=0.1, **truth), draw(**truth))


def test_a_crowd_is_grey_on_the_left_and_nobody_misses_it():
    left, right = changed(draw(boxes=BOX, classes=np.int32([IGNORED])))
    assert left.any()
    assert not right.any()


def test_detections_that_nobody_would_act_on_are_left_out():
    np.testing.assert_array_equal(one_found(BACKGROUND, score=0.1), draw())


def test_the_best_detection_is_on_top():
    picture = draw(
        boxes=BOX,
        classes=np.int32([0]),
        found_boxes=np.concatenate([BOX, BOX]),
        found_scores=np.float32([0.9, 0.5]),
        found_classes=np.int32([0, 1]),
        owner=np.array([0, BACKGROUND]),
    )
    assert hue(picture) == "green"


@pytest.mark.parametrize(
    "box", [[0, 0, 5, 5], [-50, -50, 2, 700], [390, 590, 400, 600]]
)
def test_boxes_at_and_beyond_the_border_are_drawn(box):
    boxes = np.float32([box])
    picture = draw(boxes=boxes, classes=np.int32([0]))
    assert picture.shape == (400, 1200, 3)
    assert changed(picture)[0].any()


def test_small_images_are_enlarged_with_their_boxes():
    image = np.full((100, 130, 3), 90, np.uint8)
    picture = draw(image, boxes=np.float32([[25, 30, 75, 100]]), classes=np.int32([0]))
    assert picture.shape == (400, 2 * 520, 3)
    assert (picture[200, 4 * 30] > 255 - SOFT).all()


def test_ten_classes_have_colours_that_can_be_told_apart():
    colours = np.array([class_colour(i) for i in range(10)], int)
    distance = np.abs(colours[:, None] - colours[None]).sum(-1) + 999 * np.eye(10)
    assert distance.min() > 30


def test_a_png_file_holds_a_picture_in_rgb():
    picture = GREY.copy()
    picture[:, :, 0] = 200
    decoded = cv2.imdecode(np.frombuffer(as_png(picture), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[:, :, ::-1], picture)


def contrast(first, second):
    """WCAG 2's contrast ratio of two colours, 1..21."""

    def luminance(colour):
        shares = np.array(colour) / 255
        linear = np.where(
            shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_labels_can_be_read_on_the_colour_of_every_class():
    for class_ in range(100):
        colour = class_colour(class_)
        # What WCAG asks of a text of usual size.
        assert contrast(text_colour(colour), colour) >= 4.5


def found(image, box, name="fox"):
    one = np.float32([box]), np.float32([0.9]), np.int32([0])
    return draw_found(image, *one, names=(name,))


def label_height(side):
    """Rows that the label takes of a grey image of some size."""
    image = np.full((side, side, 3), 90, np.uint8)
    box = np.float32([0.5, 0.5, 0.9, 0.9]) * side
    drawn = (found(image, box) != image).any(-1)
    return drawn[: int(box[0]) - side // 100].any(1).sum()


def test_labels_grow_with_the_image():
    assert label_height(3000) == pytest.approx(3 * label_height(1000), rel=0.2)


def test_small_images_with_detections_are_enlarged_too():
    image = np.full((40, 60, 3), 90, np.uint8)
    picture = found(image, (10, 20, 30, 50))
    assert picture.shape == (400, 600, 3)
    check_colour(picture[200, 200], class_colour(0))
