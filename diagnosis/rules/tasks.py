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


@rule("task")
def features_unscaled(case: Case) -> Finding | None:
    """Inputs of very different sizes (LeCun et al. 1998, section 4.3)."""
    ratio = case.data.get("scale_ratio", 1.0)
    if ratio < T["feature_ratio"] or case.setting("scaler") not in (None, "none"):
        return None
    if case.setting("scaler") is None:
        return None
    return Finding(
        "features_unscaled",
        "inputs are not scaled",
        (f"the widest column varies {ratio:.3g} times as much as the narrowest (usual: below {T['feature_ratio']:g})",),
        "the network sees the large columns alone, and steps are too large for one and too small for another",
        {"scaler": "standard"},
        weight=6.5,
        hint=state(case) == "good" and case.data.get("skill", {}).get("val", 0.0) > 0.9,
        tags=("train/loss",),
        source="LeCun et al. 1998, section 4.3",
    )


@rule("task")
def leakage(case: Case) -> Finding | None:
    """A column that alone predicts the target (Kaufman et al. 2012)."""
    best, second = case.data.get("best_column_skill"), case.data.get("second_column_skill", 0.0)
    if best is None or best < T["leak_skill"] or case.data.get("columns", 2) < 2:
        return None
    if best - second < T["leak_lead"] and 1.0 - second < T["leak_times"] * (1.0 - best) + T["leak_least"]:
        return None
    return Finding(
        "leakage",
        "one column alone tells the target",
        (f"column {case.data['best_column']} alone explains {best:.1%} of the target, the next {second:.1%}",),
        "it may be written down after the answer is known, and will not be there when it counts",
        {},
        "if so, leave it out with --ignore COLUMN",
        weight=7.0,
        source="Kaufman et al. 2012",
    )


@rule("task")
def nothing_to_learn(case: Case) -> Finding | None:
    """The inputs say nothing of the target (Goodfellow et al. 2016, section 5.2: the Bayes error)."""
    forest, skill = case.data.get("forest_skill"), case.data.get("skill", {})
    if forest is None or skill.get("val") is None or case.data.get("majority", 0.0) >= T["imbalance"]:
        return None
    if max(forest, skill["val"]) >= T["no_signal"] or case.data.get("target_outlier", 0.0) >= T["target_outlier"]:
        return None
    return Finding(
        "nothing_to_learn",
        "the inputs say nothing of the target",
        (
            f"skill on validation rows {skill['val']:.2f}, that of a forest of trees {forest:.2f} (0: the mean or the "
            f"majority; healthy runs: at least {T['no_signal']:g})",
        ),
        "what is learned of training rows is then their noise",
        {},
        "see that rows and targets belong together (sorted apart, joined by a wrong key, shifted by a row), and that "
        "--target names the right column",
        weight=5.2,
        source="Goodfellow et al. 2016, section 5.2",
    )


@rule("task")
def rows_repeated(case: Case) -> Finding | None:
    """The same rows to learn from and to be judged by (Kapoor and Narayanan 2023, leakage of type L1.4)."""
    share = case.data.get("repeated")
    if share is None or share < T["repeated"]:
        return None
    return Finding(
        "rows_repeated",
        "rows that it is judged by are training rows",
        (f"{share:.0%} of the inputs of validation and test rows stand in a training row too (usual: none)",),
        "who has learned them by heart scores as well as who has understood",
        {},
        "leave out repeated rows, and keep what belongs together (one patient, one day) in one part",
        weight=6.0,
        source="Kapoor and Narayanan 2023",
    )


@rule("task")
def validation_small(case: Case) -> Finding | None:
    """Too few rows to judge by (Kohavi 1995)."""
    rows = case.data.get("rows", {})
    val, train = rows.get("val"), rows.get("train")
    if val is None or train is None or val >= T["few_rows"] or not train:
        return None
    small = (case.setting("val_split") or 0.0) < 0.1
    return Finding(
        "validation_small",
        "there are too few rows to validate by",
        (f"{val} validation rows beside {train} training rows (usual: at least {T['few_rows']:.0f})",),
        "one row more or less right decides which weights are kept",
        {"val_split": 0.2} if small else {},
        "" if small else "bring more rows",
        weight=3.0,
        source="Kohavi 1995",
    )


@rule("task")
def imbalance(case: Case) -> Finding | None:
    """A rare class that accuracy does not show (He and Garcia 2009)."""
    majority, skill = case.data.get("majority"), case.data.get("skill", {}).get("val")
    accuracy = case.data.get("accuracy", {}).get("val")
    if majority is None or majority < T["imbalance"] or skill is None or accuracy is None:
        return None
    if skill > 0.7:
        return None
    return Finding(
        "imbalance",
        "accuracy hides a rare class",
        (
            f"{majority:.1%} of rows are of one class; accuracy {accuracy:.1%}, and the mean over classes is only "
            f"{50 * (1 + skill) if case.data['classes'] == 2 else 100 * skill:.0f} %",
        ),
        "to say always the same would be as accurate",
        {"threshold": round(min(max(1.0 - majority, 0.05), 0.5), 2)} if case.data["classes"] == 2 else {},
        "judge it by f1 and roc_auc; more rows of the rare class help most",
        weight=6.2,
        source="He and Garcia 2009",
    )


@rule("task")
def target_outliers(case: Case) -> Finding | None:
    """A few targets far from all others (Huber 1964)."""
    far = case.data.get("target_outlier")
    if far is None or far < T["target_outlier"]:
        return None
    return Finding(
        "target_outliers",
        "a few targets lie far from all others",
        (f"the farthest lies {far:.3g} interquartile ranges from the median (usual: below {T['target_outlier']:g})",),
        "a squared error is decided by them alone",
        {"loss": "mae"},
        "look at those rows: they may be mistakes",
        weight=6.6,
        source="Huber 1964",
    )


@rule("task")
def class_missing(case: Case) -> Finding | None:
    """A class that a part of the rows lacks (Kohavi 1995)."""
    missing = case.data.get("missing") or {}
    if not missing:
        return None
    parts = "; ".join(f"{part}: class {', '.join(map(str, which))}" for part, which in missing.items())
    return Finding(
        "class_missing",
        "a part of the rows lacks a class",
        (f"missing in {parts}",),
        "it can be neither learned nor judged there",
        {},
        "bring more rows of it, leave it out, or make the parts larger with --val-split and --test-split",
        weight=5.6,
        source="Kohavi 1995",
    )


@rule("task")
def test_far_from_validation(case: Case) -> Finding | None:
    """Test and validation disagree (Cawley and Talbot 2010)."""
    skill, rows = case.data.get("skill", {}), case.data.get("rows", {})
    val, test = skill.get("val"), skill.get("test")
    if val is None or test is None or val - test < T["test_gap"] or min(rows.get("val", 0), rows.get("test", 0)) < 15:
        return None
    return Finding(
        "test_far_from_validation",
        "the test rows are worse than the validation rows",
        (f"skill {val:.2f} on {rows['val']} validation rows, {test:.2f} on {rows['test']} test rows",),
        "either the parts are small, or the model was chosen for these validation rows",
        {"val_split": 0.2, "test_split": 0.2} if (case.setting("val_split") or 0) < 0.2 else {},
        "shuffle the rows, or see whether the test rows come from elsewhere",
        weight=2.0,
        hint=min(rows["val"], rows["test"]) < 200,
        source="Cawley and Talbot 2010",
    )
