"""Files of people: which are meant by a word, and what is seen in them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from efdet_jax.errors import UsageError
from efdet_jax.inference import media

COLOURS = np.uint8([[200, 30, 40], [30, 200, 40], [30, 40, 200]])
"""Of the frames of a video, RGB."""
ORIENTATION = 0x0112


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_video(path, *, rate=10.0, size=(48, 80), frames=COLOURS):
    height, width = size
    code = cv2.VideoWriter.fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
    writer = cv2.VideoWriter(str(path), code, rate, (width, height))
    for colour in frames:
        writer.write(np.full((height, width, 3), colour[::-1], np.uint8))
    writer.release()


def test_a_folder_is_its_photos_and_videos_in_order_of_name(tmp_path):
    touch(*(tmp_path / name for name in ("b.JPG", "a.png", "c.mp4", "notes.txt")))
    touch(tmp_path / "inner" / "d.jpg")
    found = media.listed(str(tmp_path))
    assert [path.name for path in found] == ["a.png", "b.JPG", "c.mp4"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.jpg", ["a.jpg"]), ("**/*", ["a.jpg", "b.jpg", "c.png"]), ("?/b*", ["b.jpg"])],
)
def test_a_pattern_is_what_it_matches(tmp_path, pattern, names):
    touch(tmp_path / "a.jpg", tmp_path / "x/b.jpg", tmp_path / "x/y/c.png")
    touch(tmp_path / "x/notes.txt")
    found = media.listed(str(tmp_path / pattern))
    assert [path.name for path in found] == names


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tmp_path):
    touch(tmp_path / "photo", tmp_path / "odd[1].jpg")
    for name in ("photo", "odd[1].jpg"):
        assert media.listed(str(tmp_path / name)) == [tmp_path / name]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("absent.jpg", "does not exist"),
        ("", "folder without photos"),
        ("*.jpg", "matches no photo"),
    ],
)
def test_a_word_that_means_nothing_is_refused(tmp_path, word, message):
    touch(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=message):
        media.listed(str(tmp_path / word))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photo_is_seen_as_its_exif_tag_asks(tmp_path, orientation, turns):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30] = 250, 10, 10
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95, exif=exif)
    seen = media.read_photo(tmp_path / "a.jpg").astype(int)
    expected = np.rot90(pixels, turns)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).mean() < 10


def test_what_is_no_photo_is_refused_by_name(tmp_path):
    (tmp_path / "a.jpg").write_text("no photo")
    for name in ("a.jpg", "absent.jpg"):
        with pytest.raises(UsageError, match=name):
            media.read_photo(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_video_is_its_frames_in_rgb(tmp_path, name):
    write_video(tmp_path / name, rate=12.0)
    with media.opened_video(tmp_path / name) as video:
        frames = list(video.frames)
    assert video.rate == pytest.approx(12)
    assert video.num_frames == len(frames) == len(COLOURS)
    for frame, colour in zip(frames, COLOURS.astype(int), strict=True):
        assert frame.shape == (48, 80, 3)
        assert np.abs(frame.mean((0, 1)) - colour).max() < 12


def test_what_is_no_video_is_refused_by_name_and_ffmpeg_is_silent(tmp_path, capfd):
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    with (
        pytest.raises(UsageError, match=r"a\.mp4: is no video"),
        media.opened_video(tmp_path / "a.mp4"),
    ):
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [(48, 80), (47, 81)])
def test_a_written_video_can_be_read_again(tmp_path, size):
    written = media.VideoFile(tmp_path / "a.mp4", rate=15.0)
    for colour in COLOURS:
        written.add(np.broadcast_to(colour, (*size, 3)).copy())
    written.close()
    with media.opened_video(tmp_path / "a.mp4") as video:
        frames = list(video.frames)
    assert video.rate == pytest.approx(15)
    for frame, colour in zip(frames, COLOURS.astype(int), strict=True):
        assert np.abs(frame.mean((0, 1)) - colour).max() < 12


def test_what_cannot_be_written_is_refused(tmp_path):
    photo = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError, match="cannot be written"):
        media.write_photo(tmp_path / "absent/a.png", photo)
    with pytest.raises(UsageError, match="cannot be written"):
        media.VideoFile(tmp_path / "absent/a.mp4", rate=9.0).add(photo)


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("a.jpg", "a.jpg"),
        ("a.PNG", "a.PNG"),
        ("photo", "photo.png"),
        ("a.mp4", "a.mp4"),
        ("a.avi", "a.avi.mp4"),
    ],
)
def test_a_copy_has_the_name_of_its_original_where_its_format_is_written(name, copy):
    assert media.copy_name(name) == copy
