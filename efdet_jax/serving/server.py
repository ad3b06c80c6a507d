"""The server of the page: for this machine alone, and for the page alone."""

import contextlib
import json
import logging
import pathlib
import re
import socket
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl

from efdet_jax.errors import UsageError
from efdet_jax.serving.answers import (
    MAX_BYTES,
    Refusal,
    Served,
    detect_answer,
    models_answer,
)

_LOG = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")
"""Other names are another site's, made to lead here (DNS rebinding)."""

_PAGE = pathlib.Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_METHODS = {"/models": "GET", "/detect": "POST"} | dict.fromkeys(_FILES, "GET")
_PATIENCE = 2.0
"""Seconds without a byte from a sender who has been refused."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' blob:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class PageServer(ThreadingHTTPServer):
    """Has the port from the beginning, and answers once `served` is there."""

    daemon_threads = True  # who is served does not keep the program alive

    def __init__(self, port: int) -> None:
        """Takes the port.

        Args:
          port: of the loopback interface; 0 takes one that is free.

        Raises:
          UsageError: it cannot be had.
        """
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"--port={port} cannot be had ({error.strerror}): choose another, or 0"
                " for one that is free"
            ) from error
        self.served: Sequence[Served] = ()
        self.turn = threading.Lock()
        """Held by the one request whose image is looked at."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints what went wrong, unless it is that a browser has gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; what is not GET or POST the base class refuses."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # of what is no request: has headers
    server_version, sys_version = "efdet_jax", ""
    timeout = 60  # seconds without a byte

    def do_GET(self) -> None:
        """Answers."""
        self._reply()

    def do_POST(self) -> None:
        """Answers."""
        self._reply()

    def _reply(self) -> None:
        """Answers, or says why not."""
        try:
            self._check_sender()
            kind, body = self._answer()
        except Refusal as refusal:
            self.send_error(refusal.status, str(refusal))
            self._read_the_rest()
        else:
            self._send(HTTPStatus.OK, kind, body)

    @property
    def _site(self) -> PageServer:
        return cast(PageServer, self.server)

    def _check_sender(self) -> None:
        """Refuses what other sites make a browser send here."""
        host = self.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            raise Refusal(
                HTTPStatus.FORBIDDEN, f"this server is not {host!r}: open {LOOPBACK}"
            )
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise Refusal(HTTPStatus.FORBIDDEN, "another site's page may not ask")

    def _answer(self) -> tuple[str, bytes]:
        """Returns type and bytes of what is asked for."""
        path, _, words = self.path.partition("?")
        if path not in _METHODS:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing at {path}")
        if self.command != _METHODS[path]:
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{path} is for {_METHODS[path]}"
            )
        if path in _FILES:
            name, kind = _FILES[path]
            return kind, (_PAGE / name).read_bytes()
        told = self._detect(words) if path == "/detect" else self._models()
        return "application/json", json.dumps(told).encode()

    def _models(self) -> dict[str, Any]:
        return models_answer(self._site.served)

    def _detect(self, words: str) -> dict[str, Any]:
        query = dict(parse_qsl(words))
        served = {str(i): each for i, each in enumerate(self._site.served)}
        chosen = served.get(query.get("model", ""))
        if chosen is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such model")
        name = query.get("name", "image")
        encoded = self._read_image(name)
        with self._site.turn:
            return detect_answer(chosen.detector, encoded, name=name)

    def _read_image(self, name: str) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,15}", length):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, f"{name}: its length is missing")
        if int(length) > MAX_BYTES:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{name}: is larger than {MAX_BYTES // 2**20} MB: choose a smaller one",
            )
        return self.rfile.read(int(length))

    def _read_the_rest(self) -> None:
        """Lets the sender come to an end: browsers read no answer before that."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_PATIENCE)
        with contextlib.suppress(OSError):
            while self.rfile.read1(2**16):
                pass

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Sends an error as the page reads it; also those that the base class finds."""
        del explain
        error = {"error": message or HTTPStatus(code).phrase}
        self._send(HTTPStatus(code), "application/json", json.dumps(error).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (headers | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs a request, for who wants to know."""
        _LOG.debug(format, *args)
