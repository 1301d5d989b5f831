"""A comparison as text and as a page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from agent_gym.ground.errors import UserError, unwritable
from agent_gym.many.comparison import Comparison, Row
from agent_gym.storage.files import write_text

HEAD = ("on", "A: IQM", "95 %", "B: IQM", "95 %", "A better", "95 %")
STYLE = (
    "body{font-family:sans-serif;max-width:50em;margin:2em auto;padding:0 1em}img{max-width:100%}"
    "td,th{padding:.3em .8em;text-align:right;border-bottom:1px solid #ddd}td:first-child{text-align:left}"
)


def cells(row: Row) -> list[str]:
    def between(bounds: tuple[float, float]) -> str:
        return f"{bounds[0]:.4g} to {bounds[1]:.4g}"

    chance = [f"{share:.0%}" for share in (row.chance, *row.chance_interval)]
    own = [f"{row.a:.4g}", between(row.a_interval), f"{row.b:.4g}", between(row.b_interval)]
    return [row.on, *own, chance[0], f"{chance[1]} to {chance[2]}"]


def print_comparison(found: Comparison) -> None:
    """To standard output."""
    console = Console()
    for name, group in (("A", found.a), ("B", found.b)):
        print(f"{name}  {group.about()}")
    table = Table(*HEAD)
    for row in found.rows:
        table.add_row(*cells(row))
    console.print(table)
    print("\n".join([found.verdict(), *found.notes()]))


def require_place(path: Path) -> None:
    """Raise UserError where no page can be written, before anything takes time."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {path}: expected the name of a page, such as {path.with_suffix('.html')}")
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"--report {path}: there is no folder {path.parent} for it, or it is one itself")


def write_report(found: Comparison, path: Path) -> None:
    """Write the page. Raises UserError."""
    from agent_gym.many.pictures import pictures

    body = [f"<h1>{paragraph(f'{found.a.folder.name} and {found.b.folder.name}')}</h1>"]
    body += [f"<p><b>{name}</b> {paragraph(group.about())}</p>" for name, group in (("A", found.a), ("B", found.b))]
    body.append(table([HEAD, *map(cells, found.rows)]))
    body += [f"<p>{paragraph(line)}</p>" for line in (found.verdict(), *found.notes())]
    page = document("comparison", [*body, *shown(pictures(found))])
    try:
        write_text(path, page)
    except OSError as error:
        raise unwritable("the report", path, error, "compare again") from error


def paragraph(text: str) -> str:
    return html.escape(text)


def table(lines: Iterable[Iterable[str]]) -> str:
    """Lines of cells."""
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in lines]
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def shown(pictures: dict[str, np.ndarray]) -> list[str]:
    """Pictures, uint8 [H, W, 3], under their titles, in the page itself."""
    parts = []
    for title, picture in pictures.items():
        file = BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
        parts.append(f'<h2>{html.escape(title)}</h2><img alt="" src="data:image/png;base64,{data}">')
    return parts


def document(title: str, body: list[str]) -> str:
    """A page that needs no other file."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )
