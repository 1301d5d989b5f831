"""A made-up table with the schema and the size of the airline passenger satisfaction survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 129_880
RATINGS = (
    "Seat comfort",
    "Departure/Arrival time convenient",
    "Food and drink",
    "Gate location",
    "Inflight wifi service",
    "Inflight entertainment",
    "Online support",
    "Ease of Online booking",
    "On-board service",
    "Leg room service",
    "Baggage handling",
    "Checkin service",
    "Cleanliness",
    "Online boarding",
)


def airline(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """rows x 23: two classes that lean on the ratings, the class and the delay, with noise; some delays missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "Gender": rng.choice(["Female", "Male"], rows),
            "Customer Type": rng.choice(["Loyal Customer", "disloyal Customer"], rows, p=[0.82, 0.18]),
            "Age": rng.integers(7, 86, rows),
            "Type of Travel": rng.choice(["Business travel", "Personal Travel"], rows, p=[0.69, 0.31]),
            "Class": rng.choice(["Business", "Eco", "Eco Plus"], rows, p=[0.48, 0.45, 0.07]),
            "Flight Distance": rng.integers(50, 6952, rows),
        }
        | {name: rng.integers(0, 6, rows) for name in RATINGS}
    )
    delay = np.where(rng.random(rows) < 0.55, 0.0, rng.exponential(35.0, rows).round())
    arrival = np.maximum(delay + rng.normal(0.0, 8.0, rows).round(), 0.0)
    arrival[rng.random(rows) < 0.003] = np.nan
    frame["Departure Delay in Minutes"] = delay.astype(int)
    frame["Arrival Delay in Minutes"] = arrival
    liking = frame[list(RATINGS)].to_numpy().mean(1) - 2.5 + 0.4 * (frame["Class"] == "Business") - 0.004 * delay
    liking += 0.5 * (frame["Inflight entertainment"] > 3) + rng.normal(0.0, 0.3, rows)
    frame["satisfaction"] = np.where(liking > np.median(liking), "satisfied", "dissatisfied")
    return frame


def write_airline(path: Path, rows: int = ROWS) -> Path:
    airline(rows).to_csv(path, index=False)
    return path
