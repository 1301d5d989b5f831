"""The page in a browser, asked for over a real socket."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading

import numpy as np
import pytest
from asking import ask
from painted import make_show
from PIL import Image

from agent_gym.ground.errors import UserError
from agent_gym.viewing.browser import WebServer
from agent_gym.viewing.overlay import Stage
from agent_gym.viewing.window import Controls, present


@pytest.fixture
def server():
    server = WebServer(0, "ppo on <Painted>", Controls())
    yield server
    server.close()


class Spectator:
    """A browser that looks at the pictures."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        self.connection.request("GET", "/pictures")
        self.answer = self.connection.getresponse()
        assert self.answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=picture"

    def see(self) -> np.ndarray:
        """The next picture, by the rules of multipart messages (RFC 2046)."""
        assert self.answer.readline() == b"--picture\r\n"
        head = {}
        while (line := self.answer.readline()) != b"\r\n":
            name, value = line.decode().split(": ")
            head[name] = value.strip()
        assert head["Content-Type"] == "image/jpeg"
        data = self.answer.read(int(head["Content-Length"]))
        assert self.answer.readline() == b"\r\n"
        return np.asarray(Image.open(io.BytesIO(data)))

    def leave(self):
        self.answer.close()
        self.connection.close()


def test_page_and_buttons(server):
    status, page = ask(server, "GET", "/")
    assert status == 200 and b"ppo on &lt;Painted&gt;" in page and b'src="/pictures"' in page
    for path, expected in (("/faster", (False, 2.0)), ("/slower", (False, 1.0)), ("/pause", (True, 1.0))):
        status, body = ask(server, "POST", path)
        state = json.loads(body)
        assert status == 200 and (state["paused"], state["speed"]) == expected
    assert json.loads(ask(server, "GET", "/state")[1]) == state
    ask(server, "POST", "/next")
    assert server.controls.next and not server.controls.quit
    for method, path in (("GET", "/pause"), ("POST", "/quit"), ("GET", "/x"), ("POST", "/")):
        assert ask(server, method, path)[0] == 404


def test_only_this_machine_is_served(server):
    assert server.server.socket.getsockname()[0] == "127.0.0.1"
    assert ask(server, "GET", "/state", Host="evil.example")[0] == 400
    assert ask(server, "POST", "/pause", Origin="http://evil.example")[0] == 403
    assert ask(server, "POST", "/pause", Origin=f"http://127.0.0.1:{server.port}")[0] == 200
    assert ask(server, "GET", "/state", Host=f"localhost:{server.port}")[0] == 200


def test_spectators_see_the_picture_and_the_latest_one(server):
    first, second = Spectator(server), Spectator(server)
    for level in (40, 200):
        server.pictures.put(np.full((40, 60, 3), level, np.uint8))
        assert first.see().mean() == pytest.approx(level, abs=2)
    assert second.see().mean() in (pytest.approx(40, abs=2), pytest.approx(200, abs=2))
    # Without a new picture the last one comes again, which is how the server learns that a browser has gone.
    assert first.see().mean() == pytest.approx(200, abs=2)


def test_nobody_disturbs_the_show_by_leaving(server):
    """The show waits without spectators, plays on while some leave, and waits again."""
    show = make_show((100_000,), stage=Stage("Painted", make_show((1,)).taps[0].action_space))
    player = threading.Thread(target=present, args=(show, server.controls, 100.0, server.pictures.put, server.wait))
    player.start()
    ask(server, "GET", "/")
    spectators = [Spectator(server) for _ in range(3)]
    for spectator in spectators:
        spectator.see()
    for spectator in spectators[:2]:
        spectator.leave()
    for _ in range(30):
        spectators[2].see()
    spectators[2].leave()
    with server.pictures.changed:
        gone = server.pictures.changed.wait_for(lambda: server.pictures.spectators == 0, timeout=300)
    assert gone and player.is_alive()
    back = Spectator(server)
    back.see()
    back.leave()
    server.controls.quit = True
    player.join(20)
    assert not player.is_alive()


@pytest.mark.parametrize("port", [-1, 70_000])
def test_no_port(port):
    with pytest.raises(UserError, match="a port is a number from 1 to 65535"):
        WebServer(port, "x", Controls())


def test_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--web {port}: the port is in use by another program") as caught:
            WebServer(port, "x", Controls())
    assert "\n" not in str(caught.value)
