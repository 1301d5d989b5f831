"""A table of runs: agent-gym runs [DIR] [--sort FIELD] [--json]."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from agent_gym.commands.line.flags import read_flags
from agent_gym.commands.line.messages import reported
from agent_gym.ground.errors import UserError

BOOKKEEPING = ("run_dir", "quiet", "verbose", "summary", "env", "seed", "agent", "task", "num_threads", "device")
WIDE = 240  # columns where there is no terminal


@dataclass(frozen=True)
class RunsConfig:
    """The runs in a folder, the best first."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Where to look, at any depth."""
    sort: Literal["score", "steps", "seconds", "name"] = "score"
    """What to sort by; score goes by environment or task first."""
    json: bool = False
    """Print a JSON list."""


@reported
def main(argv: list[str]) -> int:
    args = read_flags(RunsConfig, argv, prog="agent-gym runs")[0]
    rows = find_runs(args.folder)
    order = {
        "score": lambda row: (row["on"], -(row["score"] if row["score"] is not None else float("-inf"))),
        "steps": lambda row: -(row["steps"] or 0),
        "seconds": lambda row: -(row["seconds"] or 0.0),
        "name": lambda row: row["run"],
    }
    rows.sort(key=order[args.sort])
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    return 0


def find_runs(folder: Path) -> list[dict[str, Any]]:
    """What is known of each run below `folder`. Raises UserError where there is no such folder.

    Of the settings, those that differ between runs of one agent or task on one environment or set: what was tried.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give the one that your runs are in, such as runs")
    rows = [row for path in sorted(folder.rglob("config.json")) if (row := describe(path.parent, folder)) is not None]
    rows += [
        row for path in sorted(folder.rglob("group.json")) if (row := describe_group(path.parent, folder)) is not None
    ]
    alike: dict[tuple, list[dict]] = {}
    for each in rows:
        alike.setdefault((each["who"], each["on"]), []).append(each["settings"])
    differing = {kind: _differing(settings) for kind, settings in alike.items()}
    for each in rows:
        names = differing[each["who"], each["on"]]
        each["settings"] = {name: value for name, value in each["settings"].items() if name in names}
    return rows


def describe(run: Path, folder: Path) -> dict[str, Any] | None:
    """A run as a row; None for a folder that is none."""
    config = _read(run / "config.json")
    if config is None or not ("agent" in config or "task" in config) or not (run / "checkpoints").is_dir():
        return None
    result = _read(run / "result.json") or {}
    name, score = measure(result)
    found = {"measure": name, "score": score, "interval": result.get("return_ci95")}
    return row(run, folder, config.get("agent") or config.get("task"), config, result) | found


def measure(result: dict) -> tuple[str, float | None]:
    """What a finished run is judged by, and its value; None where there is none."""
    name, value = "return", result.get("return_mean")
    if isinstance(metrics := result.get("metrics"), dict):
        name = next((name for name in ("accuracy", "r2", "mse", "loss") if name in metrics), "")
        value = metrics.get(name)
    return name, value if isinstance(value, int | float) else None


def describe_group(group: Path, folder: Path) -> dict[str, Any] | None:
    """A group of runs as a row, its score the IQM of its seeds; None for a folder that is none."""
    found, result = _read(group / "group.json") or {}, _read(group / "result.json") or {}
    config, seeds = found.get("config"), found.get("seeds")
    if not isinstance(config, dict) or not isinstance(seeds, list):
        return None
    score = {"measure": result.get("measure"), "score": result.get("iqm"), "interval": result.get("iqm_ci95")}
    shown = {"seed": f"{len(seeds)} seeds", "runs": len(seeds)}
    return row(group, folder, found.get("name"), config, result) | score | shown


def row(run: Path, folder: Path, who: Any, config: dict, result: dict) -> dict[str, Any]:
    """What rows have in common."""
    return {
        "run": str(run.relative_to(folder)) if run != folder else str(run),
        "who": who,
        "on": config.get("env") or config.get("data") or config.get("task") or who or "",
        "seed": config.get("seed"),
        "steps": result.get("total_steps"),
        "seconds": result.get("wall_time"),
        "settings": {name: value for name, value in config.items() if name not in BOOKKEEPING},
    }


def _differing(settings: list[dict]) -> set[str]:
    """Names of the settings that are not the same everywhere."""
    names = set().union(*settings) if settings else set()
    return {name for name in names if len({json.dumps(each.get(name)) for each in settings}) > 1}


def _read(path: Path) -> dict | None:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def print_table(rows: list[dict[str, Any]]) -> None:
    """The rows as a table; unfinished runs have no score."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    narrow = ("run", "who", "seed", "score", "95 %", "steps", "seconds")
    columns = [Column(name, no_wrap=True) for name in narrow]
    columns.insert(2, Column("on", overflow="fold"))
    note = "below a run: settings in which it differs from others like it" if any(r["settings"] for r in rows) else None
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption=note)
    for row in rows:
        interval = row["interval"]
        table.add_row(
            "\n  ".join([row["run"], *(f"{name}={value}" for name, value in row["settings"].items())]),
            row["who"],
            row["on"],
            str(row["seed"]),
            "–" if row["score"] is None else f"{row['score']:.4g}",
            f"{interval[0]:.4g} to {interval[1]:.4g}" if isinstance(interval, list) and len(interval) == 2 else "",
            "–" if row["steps"] is None else f"{row['steps']:,}",
            "–" if row["seconds"] is None else f"{row['seconds']:.1f}",
        )
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or another program has no edge
        console.width = WIDE
    console.print(table if rows else "no runs here")
