"""Learning curves of supervised tasks, each with the textbook's remedy."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rule, state
from agent_gym.diagnosis.thresholds import T
from agent_gym.ground.learning_curve import FALLING, RISEN, ROUGH, Shape

CURVES = "Goodfellow et al. 2016, sections 5.2, 7.8 and 11"


@rule("task")
def epochs_few(case: Case) -> Finding | None:
    """The validation loss still falls at the end."""
    loss, epochs = case.curve("val/loss", points=2), case.setting("epochs")
    usual = case.usual.get("epochs")
    if loss is None or not epochs or (case.ratio("learning_rate") or 1.0) < 1.0 / T["setting_times"]:
        return None
    shape = Shape.of(loss.values)
    falling = shape.falling > FALLING and shape.risen < RISEN
    few = bool(usual) and usual / epochs >= T["setting_times"]
    if not falling or state(case) == "good" and not few:
        return None
    return Finding(
        "epochs_few",
        "there are too few epochs",
        (
            f"val/loss fell from {loss.values[0]:.4g} to {loss.values[-1]:.4g}, {shape.falling:.0%} of it in the last "
            f"fifth of {epochs} epochs (healthy runs: below {FALLING:.0%})",
        ),
        "the curve has not come to its end",
        {"epochs": max(int(usual or 0), 4 * int(epochs))},
        weight=5.5 if few else 3.0,
        hint=not few and state(case) != "poor",
        tags=("val/loss", "train/loss"),
        source=CURVES,
    )


@rule("task")
def jagged(case: Case) -> Finding | None:
    """A validation curve that jumps (Keskar et al. 2017; Goodfellow et al. 2016, section 8.1.3)."""
    loss = case.curve("val/loss", points=8)
    if loss is None:
        return None
    rough = Shape.of(loss.values).rough
    rows = case.data.get("rows", {}).get("val", 0)
    size, usual = case.setting("batch_size"), case.usual.get("batch_size")
    small = bool(size and usual and usual / size >= T["setting_times"])
    high = (case.ratio("learning_rate") or 1.0) >= T["setting_times"]
    if rough < ROUGH or not (small or high or state(case) == "poor"):
        return None
    causes, remedy = [], {}
    if small:
        causes.append(f"batches of {size} (usual {usual})")
        remedy["batch_size"] = usual
    if high:
        causes.append(f"learning rate {case.config['learning_rate']:g} (usual {case.usual['learning_rate']:g})")
        remedy["learning_rate"] = case.usual["learning_rate"]
    if rows and rows < 30:
        causes.append(f"{rows} rows to validate by")
    return Finding(
        "jagged",
        "the validation curve is jagged",
        (
            f"val/loss is usually {rough:.0%} off the mean of the validations before and after (healthy runs: below "
            f"{ROUGH:.0%})",
            *causes,
        ),
        "batches that are too small or steps that are too large throw the weights about",
        remedy or {"batch_size": 2 * int(size or 32)},
        weight=5.8 if small else 3.0,
        tags=("val/loss",),
        source="Goodfellow et al. 2016, section 8.1.3",
    )


@rule("task")
def overfitting(case: Case) -> Finding | None:
    """The validation loss rises while the training loss falls (Goodfellow et al. 2016, section 7.8)."""
    val, train = case.curve("val/loss", points=6), case.curve("train/loss", points=6)
    if val is None or train is None:
        return None
    smooth, shape = val.smooth(), Shape.of(val.values)
    low = int(smooth.argmin())
    skill = case.data.get("skill", {})
    gap = skill.get("train", 0.0) - skill.get("val", 0.0)
    rises = shape.risen > RISEN and low < 0.7 * len(smooth) and train.late() < train.early()
    by_heart = gap > T["by_heart"] and smooth[-1] > 3.0 * train.late()
    if not by_heart and (not rises or gap < T["fit_gap"] / 2 or smooth[-1] <= 1.2 * train.late()):
        return None
    if smooth[low] >= 0.98 * smooth[0]:
        low = 0
    step = int(val.steps[low])
    epoch = max(step // max(int(case.setting("steps_per_epoch") or 1), 1), 1)
    remedy = {
        "early_stopping": max(epoch // 2, 5),
        "weight_decay": max(10 * (case.setting("weight_decay") or 0.0), 1e-2),
    }
    if not case.setting("dropout"):
        remedy["dropout"] = 0.2
    return Finding(
        "overfitting",
        "it learns its rows by heart",
        (
            f"val/loss was {smooth[low]:.4g} at step {step:,} (epoch {epoch}) and is {smooth[-1]:.4g} at the end, "
            f"train/loss fell to {train.late():.4g}",
            f"skill on training rows {skill.get('train', 0.0):.2f}, on validation rows {skill.get('val', 0.0):.2f} "
            f"(healthy runs: within {T['fit_gap'] / 2:.2f})",
        ),
        "what it has learned last holds for these rows alone",
        remedy,
        "more rows, fewer inputs or smaller --hidden-sizes help as well; best.pt holds the weights of the lowest loss",
        weight=4.5,
        tags=("val/loss", "train/loss"),
        source="Goodfellow et al. 2016, section 7.8",
    )


@rule("task")
def underfitting(case: Case) -> Finding | None:
    """Training rows are not fitted either, though they can be (Goodfellow et al. 2016, section 5.2)."""
    skill, forest = case.data.get("skill", {}), case.data.get("forest_skill")
    train, val = skill.get("train"), skill.get("val")
    if train is None or val is None or forest is None or val > forest - T["low_skill"] or train > forest - 0.05:
        return None
    hidden, usual = case.setting("hidden_sizes") or (), case.usual.get("hidden_sizes") or ()
    small = case.setting("encoder") == "linear" or sum(hidden) < sum(usual) / 2
    remedy = {"encoder": "auto" if case.kind == "task" else "mlp"} if case.setting("encoder") == "linear" else {}
    if not remedy:
        remedy = {"hidden_sizes": tuple(usual) if small else tuple(2 * int(h) for h in hidden)}
    return Finding(
        "underfitting",
        "it does not even fit the rows that it learns from",
        (
            f"skill on training rows {train:.2f}, on validation rows {val:.2f}; a forest of trees reaches {forest:.2f} "
            f"(healthy runs: within {T['low_skill']:.2f})",
            f"encoder {case.setting('encoder')}, hidden_sizes {list(hidden)}",
        ),
        "the network is too small or too stiff for what the rows hold",
        remedy,
        weight=5.0 if small else 2.5,
        tags=("train/loss",),
        source="Goodfellow et al. 2016, section 5.2",
    )
