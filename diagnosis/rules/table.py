"""What is wrong with the rows of a task, and how they are divided."""

from __future__ import annotations

from shlex import quote

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rule, state
from agent_gym.diagnosis.thresholds import T


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
def marker_value(case: Case) -> Finding | None:
    """A number that stands for "unknown" among the inputs (Little and Rubin 2019, chapter 1)."""
    found = case.data.get("marker")
    if not found:
        return None
    return Finding(
        "marker_value",
        'a number seems to stand for "unknown" in a column',
        (
            f"column {found['column']}: its {found['end']} value, in {found['share']:.1%} of the rows, lies "
            f"{found['gap']:.3g} times as far from all others as those lie apart (healthy columns: below 2)",
        ),
        "it is taken as a size: all known values are pressed together beside it",
        {},
        "leave such cells empty: a gap is filled with the median, and a second input says so",
        weight=5.0,
        hint=state(case) == "good",
        source="Little and Rubin 2019, chapter 1",
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
        f"if so, leave it out: --ignore {quote(case.data['best_column'])}",
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
