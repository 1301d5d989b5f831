"""A person plays at a board, in a window or in a browser: clicks, keys, and what the agent thinks beside it."""

from __future__ import annotations

import html
import json
import queue
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from PIL import ImageDraw
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request, Response

from agent_gym.viewing.bars import CHOSEN, FAINT, INK, Line, draw_rows, font, number, shorten
from agent_gym.viewing.browser import HEAD, HOST, WebServer
from agent_gym.viewing.overlay import CURVE, MARGIN, PANEL, Stage, View, curve
from agent_gym.viewing.window import Controls, Window

KEYS = "click a cell to play   V visits   P pass\nN new game   S change sides   Q quit"
COMMANDS = ("new", "sides", "pass", "visits")
ENDS = {"won": "you have won", "lost": "the agent has won", "drawn": "a draw"}
Event = tuple[str, Any]
"""A command of COMMANDS or "quit" with None, or "touch" with a place (x, y) in pixels of the canvas."""


class Table(Protocol):
    """The game, its board and the agent behind it: agent_gym.composing.seats.sitting.Sitting."""

    number: int
    side: int
    over: bool
    waits: bool
    result: str
    seen: dict[str, np.ndarray]
    answered: int | None
    values: list[float]
    names: list[str]
    pass_move: int | None

    def again(self) -> None: ...
    def swap(self) -> None: ...
    def play(self, action: int) -> None: ...
    def answer(self) -> int: ...
    def point(self, x: float, y: float) -> int | None: ...
    def picture(self) -> np.ndarray: ...


class BoardStage(Stage):
    """The board, and beside it whose turn it is and what the agent thought of its latest move."""

    def __init__(self, title: str, table: Table) -> None:
        super().__init__(title, None)
        self.table, self.visits, self.message = table, False, ""

    def show(self) -> np.ndarray:
        return self.draw([View(self.table.picture())])

    def place(self, x: float, y: float) -> tuple[float, float] | None:
        """A pixel of the canvas in shares of the board's picture; None beside it."""
        if self.size is None:
            return None
        width, height = self.cell
        u, v = x / width, (y - (self.size[1] - height) // 2) / height
        return (u, v) if 0.0 <= u < 1.0 and 0.0 <= v < 1.0 else None

    @property
    def turn(self) -> str:
        """Whose turn it is, or how it ended."""
        table = self.table
        return ENDS[table.result] if table.over else "the agent thinks ..." if table.waits else "your move"

    def _draw_panel(self, draw: ImageDraw.ImageDraw, view: View, x: int) -> None:
        table, right, y = self.table, x + PANEL - 2 * MARGIN, MARGIN - 4
        draw.text((x, y), shorten(self.title, font(18), right - x), INK, font(18))
        side = "first" if table.side == 0 else "second"
        draw.text((x, y + 24), f"game {table.number}, you play {side}", FAINT, font(13))
        draw.text((x, y + 46), self.turn, CHOSEN if table.over else INK, font(16))
        draw.text((x, y + 68), shorten(self.message, font(13), right - x), FAINT, font(13))
        y += 92
        if table.answered is not None:
            draw.text((x, y), f"the agent played {table.names[table.answered]}", INK, font(14))
            y += 24
        if table.values:
            draw.text((x, y), "its value", FAINT, font(14))
            draw.text((right, y - 3), number(table.values[-1]), CURVE, font(18), anchor="ra")
            curve(draw, table.values, (x, y + 26, right, y + 60))
            y += 72
        keys = KEYS.replace("   P pass", "" if table.pass_move is None else "   P pass")
        bottom = self.size[1] - 44
        draw.multiline_text((x, self.size[1] - 8), keys, FAINT, font(12), anchor="ld")
        title, lines = self.rows()
        if lines:
            draw.text((x, y), title, FAINT, font(14))
            draw_rows(draw, lines, (x, y + 24, right, bottom), (12, 24))

    def rows(self) -> tuple[str, list[Line]]:
        """What the agent thought of its moves, the likeliest first; on request the visits of its search."""
        table, seen = self.table, self.table.seen
        if self.visits and "visits" in seen:
            title, shares = "visits of its search", seen["visits"] / max(seen["visits"].sum(), 1.0)
            told = [str(int(count)) for count in seen["visits"]]
        elif "probs" in seen:
            title, shares = "its move probabilities", seen["probs"]
            told = [f"{share:.0%}" for share in shares]
        elif "q" in seen:
            title, low, high = "its action values", seen["q"].min(), seen["q"].max()
            shares, told = (seen["q"] - low) / max(high - low, 1e-9), [number(float(value)) for value in seen["q"]]
        else:
            return "", []
        order = [move for move in (-shares).argsort(kind="stable") if shares[move] > 0]
        return title, [
            Line(table.names[move], 0.0, float(shares[move]), told[move], move == table.answered) for move in order
        ]

    def take(self, event: Event) -> bool:
        """Do what the person asks for; False to stop."""
        kind, value = event
        table, self.message = self.table, ""
        match kind:
            case "quit":
                return False
            case "new":
                table.again()
            case "sides":
                table.swap()
            case "visits":
                self.visits = not self.visits
                if self.visits and table.seen and "visits" not in table.seen:
                    self.message = "this agent has no search to show"
            case "pass" | "touch" if not table.over and not table.waits:
                place = None if kind == "pass" else self.place(*value)
                action = table.pass_move if kind == "pass" else place and table.point(*place)
                if action is not None:
                    table.play(action)
                elif kind == "pass" or place:
                    self.message = "no legal move there" if place else "you cannot pass here"
        return True


def play(stage: BoardStage, put: Callable[[np.ndarray], None], events: Callable[[], list[Event]]) -> None:
    """Games until the person stops. `put` displays a picture; `events` waits a moment and gives what was asked for."""
    put(stage.show())
    while True:
        if stage.table.waits:
            stage.table.answer()
            put(stage.show())
        asked = events()
        if not all(stage.take(event) for event in asked):
            return
        if asked:
            put(stage.show())


class BoardWindow(Window):
    """A window that hands on clicks and keys."""

    def events(self) -> list[Event]:
        pygame, found = self.pygame, []
        keys = {pygame.K_n: "new", pygame.K_s: "sides", pygame.K_p: "pass", pygame.K_v: "visits"}
        keys |= {pygame.K_q: "quit", pygame.K_ESCAPE: "quit"}
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                found.append(("quit", None))
            elif event.type == pygame.KEYDOWN and event.key in keys:
                found.append((keys[event.key], None))
            elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
                found.append(("touch", event.pos))
        if not found:
            pygame.time.wait(20)
        return found


def play_in_window(stage: BoardStage, title: str) -> None:
    """Raises UserError without a display."""
    window = BoardWindow(title, Controls())
    try:
        play(stage, window.put, window.events)
    finally:
        window.close()


PASS = '  <button data-command="pass" title="P">Pass</button>\n'
BODY = """\
<img id="board" style="cursor: pointer" src="/pictures" alt="%(title)s">
<div>
  <button data-command="new" title="N">New game</button>
  <button data-command="sides" title="S">Change sides</button>
%(pass_button)s  <button data-command="visits" title="V">Visits</button>
</div>
<p id="status">&nbsp;</p>
<script>
  const status = document.getElementById("status"), board = document.getElementById("board");
  const gone = () => status.textContent = "the game has ended";
  const tell = state => status.textContent = state.message || state.text;
  const ask = (path, options) => fetch(path, options).then(answer => answer.json()).then(tell).catch(gone);
  const send = command => ask("/" + command, {method: "POST"});
  board.onclick = event => {
    const x = event.offsetX * board.naturalWidth / board.width, y = event.offsetY * board.naturalHeight / board.height;
    ask("/touch?x=" + Math.round(x) + "&y=" + Math.round(y), {method: "POST"});
  };
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => { send(button.dataset.command); button.blur() };
  const keys = { n: "new", s: "sides", p: "pass", v: "visits" };
  document.onkeydown = event => { if (keys[event.key]) { event.preventDefault(); send(keys[event.key]) } };
  setInterval(() => ask("/state"), 1000); ask("/state");
</script></body></html>
"""


class BoardServer(WebServer):
    """The page of one game; what is clicked waits in `asked` for the loop that plays."""

    def __init__(self, port: int, title: str, stage: BoardStage) -> None:
        self.stage, self.asked = stage, queue.Queue(maxsize=100)
        super().__init__(port, title, Controls())

    def _answer(self, request: Request) -> Response | None:
        match request.method, request.path:
            case "GET", "/":
                button = "" if self.stage.table.pass_move is None else PASS
                page = (HEAD + BODY) % {"title": html.escape(self.title), "pass_button": button}
                return Response(page, mimetype="text/html")
            case "GET", "/state":
                return self._state()
            case "POST", "/touch":
                place = request.args.get("x", type=int), request.args.get("y", type=int)
                if None in place:
                    raise BadRequest("expected x and y, the pixel that was clicked")
                self._ask(("touch", place))
                return self._state()
            case "POST", "/new" | "/sides" | "/pass" | "/visits":
                self._ask((request.path[1:], None))
                return self._state()
        return None

    def _ask(self, event: Event) -> None:
        if not self.asked.full():
            self.asked.put(event)

    def _state(self) -> Response:
        table = self.stage.table
        state = {"text": self.stage.turn, "message": self.stage.message, "game": table.number, "over": table.over}
        if table.values:
            state["value"] = table.values[-1]
        state["moves"] = {line.name: line.text for line in self.stage.rows()[1]}
        return Response(json.dumps(state), mimetype="application/json")

    def events(self) -> list[Event]:
        try:
            return [self.asked.get(timeout=0.1)]
        except queue.Empty:
            return []


def play_in_browser(stage: BoardStage, title: str, port: int) -> None:
    """On a page of this machine until Ctrl-C. Raises UserError where the port cannot be had."""
    server = BoardServer(port, title, stage)
    print(f"play at http://{HOST}:{server.port}/ (Ctrl-C ends)", flush=True)
    try:
        play(stage, server.pictures.put, server.events)
    finally:
        server.close()
