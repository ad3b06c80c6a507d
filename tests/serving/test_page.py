"""The page in a browser."""

import json

import browser
import numpy as np
import pytest
from finder import picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.chromium(), reason="no Chromium is installed"),
]

ROWS = (
    "[...document.querySelectorAll('article')]"
    ".map(article => article.querySelectorAll('tbody tr').length)"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.opened(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(chromium, site):
    chromium.errors.clear()
    chromium.send("Page.navigate", url=f"http://127.0.0.1:{site.port}/")
    chromium.wait("document.querySelectorAll('article').length == 2")
    return chromium


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(picture())
    return path


def set_threshold(tab, value):
    tab.value(
        f"slider = document.querySelector('#threshold'); slider.value = {value};"
        " slider.dispatchEvent(new Event('input'))"
    )


def test_boxes_lie_on_what_was_found_and_the_threshold_hides_them(tab, site, photo):
    tab.choose_file("input[type=file]", photo)
    tab.wait(f"{ROWS}.join() == '2,2'")
    placed = tab.value(
        """(() => {
          const article = document.querySelector("article");
          const image = article.querySelector("img").getBoundingClientRect();
          // The best is drawn last.
          const box = [...article.querySelectorAll("rect")].at(-1);
          const {left, top, right, bottom} = box.getBoundingClientRect();
          const x = (place) => (place - image.left) / image.width;
          const y = (place) => (place - image.top) / image.height;
          return [x(left), y(top), x(right), y(bottom)];
        })()"""
    )
    found = np.array(placed) * [60, 40, 60, 40]
    # The line is on both sides of the edge.
    np.testing.assert_allclose(found, [6, 10, 30, 20], atol=0.5)
    labels = tab.value("[...document.querySelectorAll('text')].map(t => t.textContent)")
    assert labels == ["half 0.45", "white 0.90"] * 2
    set_threshold(tab, 0.5)
    assert tab.value(ROWS) == [1, 1]
    set_threshold(tab, 0.95)
    assert tab.value(ROWS) == [0, 0]
    assert tab.value("document.querySelectorAll('rect').length") == 0
    set_threshold(tab, 0.1)
    assert tab.value(ROWS) == [2, 2]
    assert len(site.first.seen) == len(site.second.seen) == 1
    assert tab.errors == []


def test_the_same_class_has_the_same_colour_for_all_detectors(tab, photo):
    tab.choose_file("input[type=file]", photo)
    tab.wait(f"{ROWS}.join() == '2,2'")
    colours = tab.value(
        "[...document.querySelectorAll('rect')].map(r => getComputedStyle(r).stroke)"
    )
    half, white, *others = colours
    assert half != white
    assert others == [half, white]


def test_what_is_saved_is_what_is_shown(tab, photo, tmp_path):
    tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.choose_file("input[type=file]", photo)
    tab.wait(f"{ROWS}.join() == '2,2'")
    set_threshold(tab, 0.5)
    tab.value("document.querySelector('button').click()")
    saved = tmp_path / "photo.png.first.json"
    tab.wait(f"{ROWS}.join() == '1,1'")
    for _ in range(100):
        if saved.exists():
            break
        tab.value("new Promise(done => setTimeout(done, 50))")
    assert json.loads(saved.read_text()) == [
        {
            "image_id": "photo.png",
            "category_id": 7,
            "bbox": [6, 10, 24, 10],
            "score": 0.9,
        }
    ]


@pytest.mark.parametrize("name", ["photo.png", "photo.txt"])
def test_what_is_no_image_is_said_on_the_page(tab, tmp_path, name):
    (tmp_path / name).write_text("no image")
    tab.choose_file("input[type=file]", tmp_path / name)
    tab.wait("document.querySelector('.wrong') !== null")
    told = tab.value("document.querySelector('.wrong').textContent")
    assert told.startswith(f"{name}: is no image")


def test_a_keyboard_reaches_everything_in_order(tab, photo):
    tab.choose_file("input[type=file]", photo)
    tab.wait(f"{ROWS}.join() == '2,2'")
    reached = []
    for _ in range(6):
        tab.press("Tab", 9)
        reached.append(
            tab.value("document.activeElement.type ?? document.activeElement.className")
        )
    assert reached == ["file", "range", *["scroll", "button"] * 2]


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_is_wider_than_the_screen(tab, photo, width):
    tab.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=700,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    tab.choose_file("input[type=file]", photo)
    tab.wait(f"{ROWS}.join() == '2,2'")
    assert tab.value("document.documentElement.scrollWidth") <= width
