import itertools
import math

import pytest

from efdet_jax import scaling
from efdet_jax.errors import UsageError

# EfficientDet (arXiv 1911.09070) Table 1, with the rows of google/automl's
# hparams_config.py that it lacks: image, backbone, neck width and repeats, head
# repeats, fusion, coarsest level, anchor scale.
PUBLISHED = {
    0: (512, "b0", 64, 3, 3, "fast", 7, 4.0),
    1: (640, "b1", 88, 4, 3, "fast", 7, 4.0),
    2: (768, "b2", 112, 5, 3, "fast", 7, 4.0),
    3: (896, "b3", 160, 6, 4, "fast", 7, 4.0),
    4: (1024, "b4", 224, 7, 4, "fast", 7, 4.0),
    5: (1280, "b5", 288, 7, 4, "fast", 7, 4.0),
    6: (1280, "b6", 384, 8, 5, "sum", 7, 4.0),
    7: (1536, "b6", 384, 8, 5, "sum", 7, 5.0),
    "7x": (1536, "b7", 384, 8, 5, "sum", 8, 4.0),
}

# EfficientNet's released classifiers: width, depth, resolution.
BACKBONES = {
    "b0": (1.0, 1.0, 224),
    "b1": (1.0, 1.1, 240),
    "b2": (1.1, 1.2, 260),
    "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380),
    "b5": (1.6, 2.2, 456),
    "b6": (1.8, 2.6, 528),
    "b7": (2.0, 3.1, 600),
}


def test_backbones_are_the_published_ones():
    assert {name: tuple(size) for name, size in scaling.BACKBONES.items()} == BACKBONES


def test_detectors_are_the_published_ones():
    rows = {}
    for phi, (image, backbone, *rest) in PUBLISHED.items():
        rows[phi] = (image, *BACKBONES[backbone][:2], *rest)
    assert {phi: tuple(size) for phi, size in scaling.DETECTORS.items()} == {
        phi: (*row, False) for phi, row in rows.items()
    }


@pytest.mark.parametrize("phi", PUBLISHED)
def test_the_table_returns_its_rows(phi):
    assert scaling.SOURCES["table"](phi) == scaling.DETECTORS[phi]


@pytest.mark.parametrize("phi", [8, -1, 2.5, "x"])
def test_a_phi_that_was_not_published_is_refused_with_the_way_out(phi):
    with pytest.raises(UsageError, match=f"phi={phi} .* law"):
        scaling.detector_table(phi)


def test_the_compound_bases_double_the_cost_about():
    assert 1.9 < scaling.ALPHA * scaling.BETA**2 * scaling.GAMMA**2 < 2.0


@pytest.mark.parametrize("phi", [-3.0, -0.5, 0, 0.5, 1, 2.7, 7])
def test_the_backbone_law_is_equation_3(phi):
    size = scaling.backbone_law(phi)
    assert size.width == pytest.approx(1.1**phi)
    assert size.depth == pytest.approx(1.2**phi)
    assert size.resolution == round(224 * 1.15**phi)


# Worked by hand from Eqs. 1-3 and the rounding that `detector_law` states: image (to
# 32, 128 at least), 64·1.35^phi (to 8), floor(3 + phi), 3 + floor(phi / 3).
LAW = {
    -4: (128, 16, 1, 1),  # 0 → 128; 19.27 → 16; -1 → 1; 3 - 2
    -3: (128, 24, 1, 2),  # 128; 26.01 → 24; 0 → 1; 3 - 1
    -2.5: (192, 32, 1, 2),  # 192; 30.2 → 32; 0.5 → 1 (at least); 3 - 1
    -1: (384, 48, 2, 2),  # 384; 47.4 → 48; 2; 3 - 1
    -0.1: (512, 64, 2, 2),  # 499.2 → 512; 62.1 → 64; 2.9 → 2; 3 - 1
    0: (512, 64, 3, 3),
    0.5: (576, 72, 3, 3),  # 576; 74.4 → 72
    1: (640, 88, 4, 3),  # 86.4
    2: (768, 120, 5, 3),  # 116.6
    3: (896, 160, 6, 4),  # 157.5
    4: (1024, 216, 7, 4),  # 212.6
    5: (1152, 288, 8, 4),  # 287.0
    6: (1280, 384, 9, 5),  # 387.4
    7: (1408, 520, 10, 5),  # 523.0
}


@pytest.mark.parametrize("phi", LAW)
def test_the_detector_law_is_equations_1_to_3_with_the_stated_rounding(phi):
    size = scaling.SOURCES["law"](phi)
    image, width, repeats, head = LAW[phi]
    assert size.image_size == image
    assert size.neck_width == width
    assert (size.neck_repeats, size.head_repeats) == (repeats, head)
    backbone = scaling.backbone_law(phi)
    assert (size.backbone_width, size.backbone_depth) == (
        backbone.width,
        backbone.depth,
    )
    assert (size.fusion, size.max_level, size.anchor_scale) == ("fast", 7, 4.0)


def test_the_law_grows_with_phi_and_never_leaves_what_can_be_built():
    sizes = [scaling.detector_law(step / 10) for step in range(-100, 101)]
    for smaller, larger in itertools.pairwise(sizes):
        for name in ("image_size", "neck_width", "neck_repeats", "head_repeats"):
            assert getattr(smaller, name) <= getattr(larger, name)
    assert all(size.image_size >= 128 for size in sizes)
    assert all(size.image_size % 32 == 0 for size in sizes)
    assert all(size.neck_width % 8 == 0 and size.neck_width >= 8 for size in sizes)
    assert sizes[0].neck_repeats == sizes[0].head_repeats == 1


# Where what was published leaves what was written, {field: (table, law)}. B0 to B7
# have rounded multipliers, so that the backbone differs from phi = 1 on.
DIFFERENCES = {
    0: {},
    1: {"backbone_width": (1.0, 1.1), "backbone_depth": (1.1, 1.2)},
    2: {
        "backbone_width": (1.1, 1.21),
        "backbone_depth": (1.2, 1.44),
        "neck_width": (112, 120),
    },
    3: {"backbone_width": (1.2, 1.331), "backbone_depth": (1.4, 1.728)},
    4: {
        "backbone_width": (1.4, 1.4641),
        "backbone_depth": (1.8, 2.0736),
        "neck_width": (224, 216),
    },
    5: {
        "image_size": (1280, 1152),
        "backbone_width": (1.6, 1.61051),
        "backbone_depth": (2.2, 2.48832),
        "neck_repeats": (7, 8),
    },
    6: {
        "backbone_width": (1.8, 1.771561),
        "backbone_depth": (2.6, 2.985984),
        "neck_repeats": (8, 9),
        "fusion": ("sum", "fast"),
    },
    7: {
        "image_size": (1536, 1408),
        "backbone_width": (1.8, 1.9487171),
        "backbone_depth": (2.6, 3.5831808),
        "neck_width": (384, 520),
        "neck_repeats": (8, 10),
        "fusion": ("sum", "fast"),
        "anchor_scale": (5.0, 4.0),
    },
    "7x": {
        "image_size": (1536, 1408),
        "backbone_width": (2.0, 1.9487171),
        "backbone_depth": (3.1, 3.5831808),
        "neck_width": (384, 520),
        "neck_repeats": (8, 10),
        "fusion": ("sum", "fast"),
        "max_level": (8, 7),
    },
}


def test_every_published_detector_is_compared_with_the_law():
    assert set(DIFFERENCES) == set(scaling.DETECTORS)


@pytest.mark.parametrize("phi", DIFFERENCES)
def test_table_and_law_differ_exactly_where_listed(phi):
    found = scaling.differences(phi)
    assert found.keys() == DIFFERENCES[phi].keys()
    for name, pair in DIFFERENCES[phi].items():
        for value, expected in zip(found[name], pair, strict=True):
            same = value == expected
            if isinstance(value, float):
                same = math.isclose(value, expected, rel_tol=1e-9)
            assert same, name


# EfficientNet (arXiv 1905.11946) section 5.2 gives 0.2 at B0 and 0.5 at B7;
# tensorflow/tpu, models/official/efficientnet, efficientnet_builder.py the others.
DROPOUTS = {0: 0.2, 1: 0.2, 2: 0.3, 3: 0.3, 4: 0.4, 5: 0.4, 6: 0.5, 7: 0.5}


def test_classifiers_are_the_published_ones():
    assert {phi: size.dropout for phi, size in scaling.CLASSIFIERS.items()} == DROPOUTS
    for phi, size in scaling.CLASSIFIERS.items():
        width, depth, resolution = BACKBONES[f"b{phi}"]
        assert size[:3] == (resolution, width, depth)


def test_the_law_of_classifiers_meets_the_table_at_b0_and_in_dropout_at_b7():
    assert scaling.classifier_law(0) == scaling.CLASSIFIERS[0]
    assert scaling.classifier_law(7).dropout == pytest.approx(0.5)


def test_the_smallest_classifier_still_has_a_cell_and_no_negative_dropout():
    size = scaling.classifier_law("-20")
    assert size.image_size == 32
    assert size.dropout == 0


@pytest.mark.parametrize("phi", [8, -1, "b0"])
def test_a_classifier_that_was_not_published_is_refused_with_the_way_out(phi):
    with pytest.raises(UsageError, match=f"phi={phi} .* law"):
        scaling.classifier_table(phi)


def test_the_grid_of_bases_is_all_that_a_plain_search_finds():
    hundredths = range(100, 255, 5)
    expected = {
        (a / 100, b / 100, c / 100)
        for a, b, c in itertools.product(hundredths, repeat=3)
        # In integers: 1.9 to 2.1 in units of 1e-10.
        if 19 * 10**9 <= a * b**2 * c**2 <= 21 * 10**9
    }
    found = scaling.candidate_bases(step=0.05, tolerance=0.1)
    assert {tuple(bases) for bases in found} == expected
    assert len(found) == len(expected)
    published = (scaling.ALPHA, scaling.BETA, scaling.GAMMA)
    assert published in expected


def test_a_finer_grid_holds_the_coarser_one():
    coarse, fine = (
        scaling.candidate_bases(step=step, tolerance=0.1) for step in (0.1, 0.05)
    )
    assert set(coarse) < set(fine)


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("width,2", (2, 1, 1)),
        ("depth,0.5", (1, 0.5, 1)),
        ("resolution,1.5", (1, 1, 1.5)),
        ("depth,1.2,width,1.1,resolution,1.15", (1.1, 1.2, 1.15)),
    ],
)
def test_dimensions_are_scaled_alone_or_together(text, factors):
    found = scaling.dimension_factors(text)
    assert tuple(found[name] for name in ("width", "depth", "resolution")) == factors


@pytest.mark.parametrize(
    "text",
    ["", "width", "width,", "height,2", "width,-1", "width,2,depth", "width,inf"],
)
def test_a_scaling_of_nothing_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match="no dimension and factor: write") as raised:
        scaling.dimension_factors(text)
    assert "\n" not in str(raised.value)
