"""A person at the board: what clicks mean, the window's events, the page over a real socket."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import numpy as np
import pytest
from asking import ask
from lowest import Lowest

from agent_gym.composing.seats.sitting import Sitting
from agent_gym.envs.native.boards import connect_four, go, hex, othello, tictactoe
from agent_gym.viewing import at_the_board, window
from agent_gym.viewing.at_the_board import BoardServer, BoardStage, BoardWindow, play
from agent_gym.viewing.bars import font
from agent_gym.viewing.overlay import MARGIN, PANEL
from agent_gym.viewing.window import Controls


def sit(game, side=0):
    stage = BoardStage("alphazero on a board", Sitting(game, Lowest(), side))
    stage.show()
    return stage


@pytest.mark.parametrize("make", [tictactoe.make, lambda: othello.make(6), lambda: go.make(5), lambda: hex.make(4)])
def test_a_click_means_the_cell_that_changes_colour(make):
    """Every legal move's stone is drawn where a click means that move."""
    sitting = Sitting(make(), Lowest(), 0)
    before = sitting.picture().astype(int)
    for action in [a for a in sitting.legal if sitting.names[a] != "pass"]:
        cells = sitting.game.cells(sitting.state)[0].flatten()
        sitting.play(action)
        new = (sitting.game.cells(sitting.state)[0].flatten() > 0) & (cells == 0)
        assert int(new.nonzero()) == action
        changed = np.argwhere(np.abs(sitting.picture().astype(int) - before).sum(2) > 0)
        if sitting.game.id != "AgentGym/Othello-v0":  # where other discs turn too
            y, x = (changed.min(0) + changed.max(0) + 1) / 2
            assert sitting.game.point(x / before.shape[1], y / before.shape[0]) == action
        sitting.again()


def test_a_click_in_a_column_and_beside_the_board():
    point = connect_four.make().point
    assert [point((0.1 + column + 0.5) / 7.2, 0.5) for column in range(7)] == list(range(7))
    assert (
        point(0.001, 0.5) is None
        and tictactoe.make().point(0.5, 0.999) is None
        and hex.make(4).point(0.99, 0.02) is None
    )


@pytest.mark.parametrize("keys", [at_the_board.KEYS, window.KEYS])
def test_the_words_below_fit_the_panel(keys):
    assert max(font(12).getlength(line) for line in keys.split("\n")) <= PANEL - 2 * MARGIN


def at(stage, row, column, size=3):
    """The pixel of the canvas in the middle of a cell of crosses and noughts."""
    width, height = stage.cell
    x, y = ((0.15 + place + 0.5) / (size + 0.3) for place in (column, row))
    return round(x * width), round(y * height) + (stage.size[1] - height) // 2


def test_a_game_by_clicks_and_keys():
    stage = sit(tictactoe.make())
    pictures, asked = (
        [],
        iter(
            [
                [("touch", at(stage, 1, 1))],  # the middle; the agent answers a1
                [("touch", at(stage, 0, 0))],
                [("touch", (5, stage.size[1] - 1))],
                [("visits", None)],
                [("pass", None)],
                [("touch", at(stage, 0, 1))],  # b1; the agent answers c1
                [("touch", at(stage, 2, 1))],  # b3: three in a column
                [("touch", at(stage, 2, 2))],
                [("sides", None)],
                [("quit", None)],
            ]
        ),
    )
    told = []

    def events():
        told.append((stage.turn, stage.message, stage.rows()[0]))
        return next(asked)

    play(stage, pictures.append, events)
    turns, messages, titles = zip(*told, strict=True)
    assert turns == ("your move",) * 7 + ("you have won", "you have won", "your move")
    assert messages[2] == "no legal move there" and messages[5] == "you cannot pass here"
    assert titles[1] == "its move probabilities" and titles[4] == "visits of its search"
    assert stage.table.side == 1 and stage.table.number == 2 and stage.table.answered == 0  # it begins now
    name, line = stage.rows()[1][0].name, stage.rows()[1][0]
    assert name == "a1" and line.text == "9" and line.chosen
    assert len({picture.tobytes() for picture in pictures}) >= 7


def test_a_pass_and_its_key():
    stage = sit(go.make(3))
    assert stage.table.pass_move == 9
    assert stage.take(("pass", None)) and stage.table.waits


def test_the_windows_events(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    stage = sit(connect_four.make())
    window = BoardWindow("a board", Controls())
    try:
        window.put(stage.show())
        pygame.event.clear()
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(200, 200)))
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_v))
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q))
        assert window.events() == [("touch", (200, 200)), ("visits", None), ("quit", None)]
    finally:
        window.close()


@pytest.fixture
def server():
    server = BoardServer(0, "alphazero on <TicTacToe>", sit(tictactoe.make()))
    loop = threading.Thread(target=play, args=(server.stage, server.pictures.put, server.events))
    loop.start()
    yield server
    server.asked.put(("quit", None))
    loop.join()
    server.close()


def test_a_game_in_the_browser(server):
    status, page = ask(server, "GET", "/")
    assert status == 200 and b"alphazero on &lt;TicTacToe&gt;" in page
    x, y = at(server.stage, 1, 1)
    assert ask(server, "POST", f"/touch?x={x}&y={y}")[0] == 200
    while "a1" not in (state := json.loads(ask(server, "GET", "/state")[1]))["moves"]:
        pass
    assert state["value"] == 0.25 and state["moves"]["a1"] == "22%"  # 9 of its visits to 8 cells, 40 in all
    ask(server, "POST", "/visits")
    while json.loads(ask(server, "GET", "/state")[1])["moves"]["a1"] != "9":
        pass


def test_the_page_has_a_pass_where_the_game_has_one(server):
    assert b">Pass<" not in ask(server, "GET", "/")[1]
    with closing(BoardServer(0, "go", sit(go.make(3)))) as other:
        assert b">Pass<" in ask(other, "GET", "/")[1]


def test_what_is_refused(server):
    assert ask(server, "POST", "/touch?x=1")[0] == 400
    assert ask(server, "GET", "/touch?x=1&y=1")[0] == 404 and ask(server, "POST", "/quit")[0] == 404
    assert ask(server, "POST", "/new", Origin="http://elsewhere")[0] == 403
    assert ask(server, "GET", "/", Host="elsewhere")[0] == 400
    assert server.stage.table.number == 1
