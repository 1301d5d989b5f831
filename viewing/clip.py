"""The beginning of a show as TensorBoard has room for it."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from agent_gym.viewing.bars import CHOSEN, FAINT, INK, font, number, policy_title, rows_of
from agent_gym.viewing.overlay import BACKGROUND, CURVE, Stage, View, fit

# A card of TensorBoard's Images is about 350 pixels wide and shrinks what is wider, text and all.
WIDTH, MAX_HEIGHT, MARGIN = 340, 300, 8
ROW, MAX_ROWS = 17, 6
FPS, PICTURES = 12.5, 250


class Clip:
    """A small animated GIF of the first seconds of a show: the picture, and below it the numbers."""

    def __init__(self, fps: float) -> None:
        self.stride = max(1, round(fps / FPS))
        self.milliseconds = 1000 * self.stride / fps
        self.pictures: list[Image.Image] = []
        self.count = 0

    def add(self, stage: Stage) -> None:
        """What the stage has drawn last."""
        if self.count % self.stride == 0 and len(self.pictures) < PICTURES:
            self.pictures.append(portrait(stage, stage.views[0]).quantize(64))
        self.count += 1

    def gif(self) -> tuple[bytes, int, int]:
        """The file's bytes, width and height."""
        first, *rest = self.pictures
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=rest, duration=self.milliseconds, loop=0)
        return file.getvalue(), first.width, first.height


def portrait(stage: Stage, view: View) -> Image.Image:
    """A view with its numbers below it, as wide as a card."""
    height, width = view.picture.shape[:2]
    picture = fit(view.picture, WIDTH, min(MAX_HEIGHT, max(1, round(WIDTH * height / width))))
    rows = rows_of(view.policy, view.action, stage.names, stage.space)
    rows = rows if len(rows) <= MAX_ROWS else []  # a selection would mislead
    top = picture.height
    canvas = Image.new("RGB", (WIDTH, top + 34 + (20 + ROW * len(rows) if rows else 0) + MARGIN // 2), BACKGROUND)
    canvas.paste(picture, ((WIDTH - picture.width) // 2, 0))
    draw, right = ImageDraw.Draw(canvas), WIDTH - MARGIN
    draw.text((MARGIN, top + 10), "return", FAINT, font(13))
    gain = number(view.episode_return)
    draw.text((MARGIN + 46, top + 5), gain, CHOSEN if view.ended else INK, font(18))
    if view.values:
        value = number(view.values[-1])
        draw.text((right, top + 5), value, CURVE, font(18), anchor="ra")
        draw.text((right - font(18).getlength(value) - 8, top + 10), "value", FAINT, font(13), anchor="ra")
    if rows:
        title, scale = policy_title(view.policy)
        draw.text((MARGIN, top + 32), title, FAINT, font(12))
        draw.text((right, top + 33), scale, FAINT, font(11), anchor="ra")
        indent = 12 + max(round(font(13).getlength(row.name)) for row in rows)
        for i, row in enumerate(rows):
            y = top + 50 + ROW * i
            row.draw(draw, font(13), (MARGIN, y, right, y + ROW), min(indent, 110))
    return canvas
