import concurrent.futures
import http.client
import io
import json
import re
import struct
import threading
import time
import zlib
from urllib.parse import quote

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image
import pytest
from finder import picture

from efdet_jax.errors import UsageError
from efdet_jax.serving.server import PageServer


def ask(site, method, path, body=None, **headers):
    """Returns status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request(method, path, body, {k.title(): v for k, v in headers.items()})
    reply = connection.getresponse()
    answer = reply.status, reply.headers, reply.read()
    connection.close()
    return answer


def detect(site, body, model=0, name="photo.png", **headers):
    path = f"/detect?model={model}&name={name}"
    status, _, answer = ask(site, "POST", path, body, **headers)
    return status, json.loads(answer)


def raw(site, request):
    """Returns the status of the answer to bytes that are no good request."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.connect()
    connection.sock.sendall(request)
    reply = connection.sock.makefile("rb").read()
    connection.close()
    return int(reply.split(b" ", 2)[1]), json.loads(reply.partition(b"\r\n\r\n")[2])


def test_detections_are_rows_of_a_coco_results_file_with_names(site):
    status, answer = detect(site, picture())
    assert status == 200
    assert (answer["width"], answer["height"]) == (60, 40)
    assert answer["milliseconds"] >= 0
    whole, half = answer["detections"]
    assert whole == {
        "name": "white",
        "image_id": "photo.png",
        "category_id": 7,
        "bbox": [6, 10, 24, 10],
        "score": 0.9,
    }
    assert (half["name"], half["category_id"]) == ("half", 3)
    assert half["bbox"] == [6, 10, 12, 10]


def test_the_detector_sees_red_green_blue(site):
    detect(site, picture())
    assert site.first.seen[0][0, 0].tolist() == [200, 0, 0]


def test_a_photo_is_turned_as_its_exif_tag_asks(site):
    photo = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = 6  # the right side is the top
    image = PIL.Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (6, 10, 30, 20))
    image.save(photo, "JPEG", exif=exif, quality=100)
    status, answer = detect(site, photo.getvalue())
    assert status == 200
    assert (answer["width"], answer["height"]) == (40, 60)
    assert answer["detections"][0]["bbox"] == pytest.approx([20, 6, 10, 24], abs=3)


def test_an_image_without_objects_has_no_detections(site):
    nothing = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    status, answer = detect(site, nothing)
    assert (status, answer["detections"]) == (200, [])


def test_each_detector_is_asked_by_its_number(site):
    models = json.loads(ask(site, "GET", "/models")[2])["models"]
    assert [model["name"] for model in models] == ["first", "second"]
    assert models[1]["image_size"] == [20, 30]
    assert models[1]["classes"] == ["white", "half"]
    assert detect(site, picture(), model=models[1]["id"])[0] == 200
    assert len(site.first.seen) == 0
    assert len(site.second.seen) == 1


@pytest.mark.parametrize("model", ["2", "-1", "first", "", "²"])
def test_a_detector_that_is_not_there_is_refused(site, model):
    status, answer = detect(site, picture(), model=quote(model))
    assert status == 404
    assert "no such model" in answer["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"no image", picture()[:100], picture(".jpg")[:-40]],
    ids=["empty", "text", "half a PNG", "a JPEG without its end"],
)
def test_what_is_no_image_is_refused_in_a_line(site, body):
    status, answer = detect(site, body)
    assert status == 415
    assert answer["error"].startswith("photo.png: is no image")
    assert "\n" not in answer["error"]
    assert not site.first.seen


def test_what_is_too_large_is_refused_though_all_of_it_is_sent(site):
    status, answer = detect(site, bytes(21 * 2**20))
    assert status == 413
    assert answer["error"].startswith("photo.png: is larger than 20 MB")


def test_what_says_that_it_is_too_large_is_refused_before_it_is_sent(site):
    request = (
        f"POST /detect?model=0 HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n"
        f"Content-Length: {10**14}\r\n\r\n"
    )
    assert raw(site, request.encode())[0] == 413


def test_an_image_of_few_bytes_and_many_pixels_is_not_decoded(site):
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    side = 10_000
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    status, answer = detect(site, png + chunk(b"IEND", b""))
    assert status == 413
    assert "10000 x 10000 pixels" in answer["error"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "[::1]"])
def test_a_name_of_others_that_leads_here_is_refused(site, host):
    for method, path in (("GET", "/"), ("GET", "/models"), ("POST", "/detect?model=0")):
        assert ask(site, method, path, b"", host=host)[0] == 403
    assert not site.first.seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:9000"])
def test_this_machine_may_be_called_by_its_names_also_through_a_tunnel(site, host):
    assert ask(site, "GET", "/", host=host)[0] == 200


def test_a_page_of_another_site_may_not_ask(site):
    here = f"http://127.0.0.1:{site.port}"
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        assert detect(site, picture(), origin=origin)[0] == 403
    assert detect(site, picture(), origin=here)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/page/",
        "/index.html",
        "/../server.py",
        "/%2e%2e/server.py",
        "//etc/passwd",
        "/page.js/",
        "/models/0",
    ],
)
def test_nothing_is_served_but_what_the_page_needs(site, path):
    status, headers, body = ask(site, "GET", path)
    assert status == 404
    assert headers["Content-Type"] == "application/json"
    assert "nothing" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/detect?model=0", 405),
        ("POST", "/models", 405),
        ("POST", "/", 405),
        ("DELETE", "/", 501),
        ("OPTIONS", "/detect", 501),
    ],
)
def test_other_methods_are_refused(site, method, path, status):
    answer = ask(site, method, path)
    assert answer[0] == status
    assert json.loads(answer[2])["error"]


def test_what_is_no_request_is_answered_and_the_server_goes_on(site):
    assert raw(site, b"GET\r\n\r\n")[0] == 400
    assert (
        raw(site, b"POST /detect?model=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 411
    )
    assert ask(site, "GET", "/")[0] == 200


def test_the_page_names_nothing_that_is_elsewhere(site):
    _, headers, page = ask(site, "GET", "/")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|unsafe", policy)
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
    assert sorted(asked) == ["/icon.svg", "/page.css", "/page.js"]
    for path in asked:
        status, headers, body = ask(site, "GET", path)
        assert status == 200
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == policy
        addresses = re.findall(r"https?://[^\"'\s]+", body.decode())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}


def test_only_this_machine_is_listened_to(site):
    with PageServer(0) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said_in_a_line(site):
    with pytest.raises(UsageError, match=rf"^--port={site.port} .*choose another"):
        PageServer(site.port)


def test_one_image_is_looked_at_at_a_time(site):
    inside, most, lock = 0, 0, threading.Lock()

    def slowly(inputs):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return site.first.infer(inputs)

    site.server.served = [
        each._replace(detector=each.detector._replace(infer=slowly))
        for each in site.server.served
    ]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(detect, site, picture(), model=i % 2) for i in range(6)]
        assert [each.result()[0] for each in asked] == [200] * 6
    assert most == 1
