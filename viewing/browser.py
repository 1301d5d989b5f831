"""A show in a browser on this machine: a page, its pictures as motion JPEG, and buttons."""

from __future__ import annotations

import errno
import html
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image
from werkzeug.exceptions import Forbidden, HTTPException, NotFound
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from agent_gym.ground.errors import UserError
from agent_gym.viewing.player import Show
from agent_gym.viewing.window import Controls, present

HOST = "127.0.0.1"
BOUNDARY = "picture"
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%(title)s</title>
<style>
  body { background: #18191f; color: #ebecf0; font: 15px system-ui, sans-serif; text-align: center; margin: 24px }
  img { max-width: 100%%; border-radius: 6px }
  button { font: inherit; color: inherit; background: #2e3240; border: 0; border-radius: 5px; padding: 8px 16px }
  button:hover { background: #485064 }
  p { color: #808694; margin: 10px }
</style></head><body>
"""
BODY = """\
<img id="picture" src="/pictures" alt="%(title)s">
<div>
  <button data-command="pause" title="space">Pause</button>
  <button data-command="slower" title="left arrow">Slower</button>
  <button data-command="faster" title="right arrow">Faster</button>
  <button data-command="next" title="N">Next episode</button>
</div>
<p id="status">&nbsp;</p>
<script>
  const status = document.getElementById("status"), pause = document.querySelector("[data-command=pause]");
  function tell(state) {
    status.textContent = state.text;
    pause.textContent = state.paused ? "Go on" : "Pause";
  }
  function ask(path, options) {
    const gone = () => status.textContent = "the show has ended";
    fetch(path, options).then(answer => answer.json()).then(tell).catch(gone);
  }
  const send = command => ask("/" + command, {method: "POST"});
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => { send(button.dataset.command); button.blur() };
  const keys = {
    " ": "pause", ArrowLeft: "slower", ArrowDown: "slower", ArrowRight: "faster", ArrowUp: "faster", n: "next",
  };
  document.onkeydown = event => { if (keys[event.key]) { event.preventDefault(); send(keys[event.key]) } };
  setInterval(() => ask("/state"), 1000); ask("/state");
</script></body></html>
"""


class LocalRequest(Request):
    """Refuses hosts other than this machine, so that a page from elsewhere cannot reach the show by its own name."""

    trusted_hosts = [HOST, "localhost"]


class Broadcast:
    """The latest picture as JPEG, for any number of spectators; a slow one misses pictures and holds nobody up."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.picture: np.ndarray | None = None
        self.jpeg, self.count, self.spectators, self.closed = b"", 0, 0, False

    def put(self, picture: np.ndarray) -> None:
        with self.changed:
            self.picture, self.count = picture, self.count + 1
            self.jpeg = b""
            self.changed.notify_all()

    def stream(self) -> Iterator[bytes]:
        """The pictures from now on, as parts of a multipart answer."""
        seen = 0
        with self.changed:
            self.spectators += 1
        try:
            yield f"--{BOUNDARY}\r\n".encode()
            while True:
                with self.changed:
                    # The same picture again after a while: only by writing does one learn that a browser has gone.
                    self.changed.wait_for(lambda seen=seen: self.closed or self.count > seen, timeout=1.0)
                    if self.closed:
                        return
                    seen = self.count
                    if self.picture is None:
                        continue
                    if not self.jpeg:
                        file = io.BytesIO()
                        Image.fromarray(self.picture).save(file, "JPEG", quality=88, subsampling=0)
                        self.jpeg = file.getvalue()
                    jpeg = self.jpeg
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                # The boundary closes the part: browsers show a picture when they have read it.
                yield head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
        finally:
            with self.changed:
                self.spectators -= 1
                self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class WebServer:
    """Serves one show on 127.0.0.1:`port` (0: any free one) from threads of its own. Raises UserError."""

    def __init__(self, port: int, title: str, controls: Controls) -> None:
        if not 0 <= port < 2**16:
            raise UserError(f"--web {port}: a port is a number from 1 to 65535, such as 8000")
        self.title, self.controls, self.pictures = title, controls, Broadcast()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
                listener.listen()
            except OSError as error:
                reason = (
                    "is in use by another program"
                    if error.errno == errno.EADDRINUSE
                    else f"cannot be opened ({error.strerror})"
                )
                other = port + 1 if 1024 <= port < 65535 else 8000
                raise UserError(f"--web {port}: the port {reason}; choose another, such as --web {other}") from error
            logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for each request
            self.server = make_server(HOST, port, self.answer, threaded=True, fd=listener.fileno())
        self.port = self.server.port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def answer(self, environ: dict, start_response) -> Iterator[bytes]:
        """The WSGI application."""
        try:
            response = self._respond(LocalRequest(environ))
        except HTTPException as error:
            response = error.get_response(environ)
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        # The host raises SecurityError where it is not trusted; pages from elsewhere may not press the buttons either.
        if request.headers.get("Origin", request.host_url.rstrip("/")) != request.host_url.rstrip("/"):
            raise Forbidden()
        if (request.method, request.path) == ("GET", "/pictures"):
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            return Response(self.pictures.stream(), content_type=kind, headers={"Cache-Control": "no-store"})
        answer = self._answer(request)
        if answer is None:
            raise NotFound()
        return answer

    def _answer(self, request: Request) -> Response | None:
        """What a page asks for beside its pictures; None: there is no such thing."""
        match request.method, request.path:
            case "GET", "/":
                return Response((HEAD + BODY) % {"title": html.escape(self.title)}, mimetype="text/html")
            case "GET", "/state":
                return self._state()
            case "POST", "/pause" | "/slower" | "/faster" | "/next":
                self.controls.apply(request.path[1:])
                return self._state()
        return None

    def _state(self) -> Response:
        state = {"paused": self.controls.paused, "speed": self.controls.speed, "text": self.controls.text}
        return Response(json.dumps(state), mimetype="application/json")

    def wait(self, seconds: float) -> None:
        """Sleep, and on until somebody watches: a show without spectators would only take time from other work."""
        time.sleep(seconds)
        while not self.pictures.spectators and not self.controls.quit:
            time.sleep(0.1)

    def close(self) -> None:
        self.pictures.close()
        self.server.shutdown()
        self.server.server_close()


def serve(show: Show, title: str, fps: float, port: int) -> None:
    """The show on a page of this machine until it ends or Ctrl-C. Raises UserError where the port cannot be had."""
    controls = Controls()
    server = WebServer(port, title, controls)
    print(f"watch at http://{HOST}:{server.port}/ (Ctrl-C ends)", flush=True)
    try:
        present(show, controls, fps, server.pictures.put, server.wait)
    finally:
        server.close()
