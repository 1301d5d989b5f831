"""Units that no longer learn, and gradients that do not arrive."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import rule, scored, state
from agent_gym.diagnosis.thresholds import T


def by_network(case: Case) -> dict[str, list[float]]:
    """The gradients of the layers of each network, from the first layer to the last."""
    parts: dict[str, list[float]] = {}
    for name, size in case.layers.get("gradient", {}).items():
        critic = name.startswith(("critic", "value_head"))
        parts.setdefault("critic" if critic else "actor", []).append(size)
    return parts


@rule("both")
def vanishing_gradients(case: Case) -> Finding | None:
    """Gradients that shrink from layer to layer (Hochreiter 1991; Glorot and Bengio 2010)."""
    depth = len(case.setting("hidden_sizes") or ())
    if depth < 4 or state(case) == "good":
        return None
    networks = by_network(case)
    told = [
        f"gradient of the first layer of the {name} {values[0]:.2g}, of a later one "
        f"{max(values[1:]):.2g} (healthy runs: above {T['vanishing']:g} of it)"
        for name, values in networks.items()
        if len(values) >= 4 and max(values[1:]) > 0 and values[0] <= T["vanishing"] * max(values[1:])
    ]
    if not told:
        return None
    remedy: dict = {"activation": case.usual.get("activation")}
    usual = case.usual.get("hidden_sizes") or (64, 64)
    if depth > 2 * len(usual):
        remedy["hidden_sizes"] = tuple(usual)
    if case.setting("orthogonal") is False and case.usual.get("orthogonal"):
        remedy["orthogonal"] = True
    return Finding(
        "vanishing_gradients",
        "gradients vanish on their way to the first layers",
        (*told, f"{depth} layers of {case.setting('activation')}", scored(case)),
        "the first layers stay random, and what they pass on says little of the input",
        {k: v for k, v in remedy.items() if v != case.setting(k)},
        weight=6.4,
        source="Hochreiter 1991; Glorot and Bengio 2010",
    )


@rule()
def network_small(case: Case) -> Finding | None:
    """Too little between observation and action (Henderson et al. 2018, section 4.1; Andrychowicz et al. 2021)."""
    widths, usual = case.setting("hidden_sizes") or (), case.usual.get("hidden_sizes") or (64, 64)
    linear = case.setting("encoder") == "linear" != case.usual.get("encoder")
    narrow = bool(widths) and min(widths) <= T["narrow"] < min(usual)
    if not (linear or narrow) or state(case) != "poor":
        return None
    changed = {"encoder": case.usual.get("encoder", "auto")} if linear else {"hidden_sizes": tuple(usual)}
    size = "the inputs themselves" if linear else f"layers of {' and '.join(map(str, widths))} units"
    return Finding(
        "network_small",
        "the network is too small",
        (f"{size} (usual: {' and '.join(map(str, usual))} units)", scored(case)),
        "what is to be done does not fit into what it can say of an observation",
        changed,
        weight=5.2,
        source="Henderson et al. 2018, section 4.1; Andrychowicz et al. 2021, section 3.2",
    )


@rule("both")
def dead_units(case: Case) -> Finding | None:
    """Units that are flat on every input, or almost all that a layer says is (Lyle et al. 2022; Sokar et al. 2023)."""
    if state(case) == "good":
        return None
    saturating = case.setting("activation") in ("tanh", "sigmoid")
    told = []
    for kind, limit, words in (
        ("still", "still_units", "of the units of {} are flat on the whole batch"),
        ("near", "flat_outputs", "of what the units of {} say lies where they are flat"),
    ):
        share, name = max(((v, k) for k, v in case.layers.get(kind, {}).items()), default=(0.0, ""))
        if share >= T[limit] and (saturating or kind == "still"):
            told.append(f"{share:.0%} {words.format(name)} (healthy runs: below {T[limit]:.0%})")
    if not told:
        return None
    return Finding(
        "dead_units",
        f"units are {'saturated' if saturating else 'dead'}",
        (*told, scored(case)),
        "a unit that is flat everywhere has no gradient and never comes back",
        {"learning_rate": float(case.config["learning_rate"]) / 3, "layer_norm": True},
        weight=2.4,
        source="Sokar et al. 2023",
    )


@rule("both", live=True)
def exploding_gradients(case: Case) -> Finding | None:
    """Gradient norms that grow beyond all measure, unclipped (Pascanu et al. 2013)."""
    norm = case.curve("train/grad_norm", points=8)
    if norm is None or case.setting("max_grad_norm") or state(case) == "good":
        return None
    late, early = norm.late(), norm.early()
    if late < T["grad_large"] or early <= 0 or late < T["grad_large"] * early:
        return None
    return Finding(
        "exploding_gradients",
        "gradients explode",
        (f"train/grad_norm {early:.3g} at first, {late:.3g} at the end (healthy runs: it falls)",),
        "one step on such a gradient undoes the run",
        {"max_grad_norm": 0.5},
        weight=3.3,
        tags=("train/grad_norm",),
        source="Pascanu et al. 2013, section 3.2",
    )
