"""What is wrong with observations, as random play shows it: entries, sizes, noise, missing memory."""

from __future__ import annotations

from agent_gym.diagnosis.case import Case
from agent_gym.diagnosis.finding import Finding
from agent_gym.diagnosis.rules.base import MEMORIES, rule, state
from agent_gym.diagnosis.rules.environment import GYMNASIUM
from agent_gym.diagnosis.thresholds import T


@rule()
def obs_constant(case: Case) -> Finding | None:
    """Observations that never change."""
    obs = case.env.get("obs", {})
    if obs.get("constant_share", 0.0) < 1.0:
        return None
    return Finding(
        "obs_constant",
        "observations never change",
        (f"all {obs['entries']} entries have one value throughout",),
        "nothing can be decided by them",
        advice="return the present state from reset() and step(), not an array that was filled once",
        weight=8.5,
        source=GYMNASIUM,
    )


@rule()
def obs_constant_entries(case: Case) -> Finding | None:
    """Some entries that never change."""
    obs = case.env.get("obs", {})
    if not 0.0 < obs.get("constant_share", 0.0) < 1.0 or obs.get("image"):
        return None
    return Finding(
        "obs_constant_entries",
        "some entries of the observation never change",
        (f"{obs['constant_share']:.0%} of {obs['entries']} entries; first: {', '.join(map(str, obs['constant']))}",),
        "they carry nothing, unless they differ between episodes that were not seen",
        advice="leave them out if they are meant to be constant",
        weight=0.5,
        hint=True,
        source=GYMNASIUM,
    )


@rule()
def obs_nonfinite(case: Case) -> Finding | None:
    """NaN or infinity."""
    share = case.env.get("obs", {}).get("nonfinite", 0.0) or case.env.get("reward", {}).get("nonfinite", 0.0)
    if not share:
        return None
    return Finding(
        "obs_nonfinite",
        "observations or rewards are NaN or infinite",
        (f"{share:.2%} of steps",),
        "one such number makes every weight NaN",
        advice="find the division or overflow in step(); clip what has no bound",
        weight=8.8,
        source=GYMNASIUM,
    )


@rule()
def obs_outlier(case: Case) -> Finding | None:
    """An entry that jumps by orders of magnitude and poisons its statistics."""
    obs = case.env.get("obs", {})
    if obs.get("jump", 0.0) < T["obs_jump"] or (state(case) == "good" and case.gain() is not None):
        return None
    return Finding(
        "obs_outlier",
        "an entry of the observation jumps by orders of magnitude",
        (
            f"entry {obs['jump_entry']}: {obs['jump']:.3g} times the span of nine tenths of its values (usual: below "
            f"{T['obs_jump']:g}); largest number {obs['largest']:.3g}",
        ),
        "its mean and deviation follow the few huge values, and all usual ones look alike",
        {"normalize_obs": False} if case.setting("normalize_obs") is True and obs["largest"] < T["wide_obs"] else {},
        'clip the entry in the environment; a number that stands for "unknown" belongs in an entry of its own',
        weight=6.8,
        source="Engstrom et al. 2020, section 3",
    )


@rule()
def obs_unscaled(case: Case) -> Finding | None:
    """Entries of very different sizes (LeCun et al. 1998, section 4.3)."""
    obs = case.env.get("obs", {})
    scaled = case.setting("normalize_obs") is not False and bool(case.config)
    if scaled or obs.get("image") or state(case) == "good":
        return None
    ratio, wide = obs.get("scale_ratio", 1.0), obs.get("widest_rms", 0.0)
    if wide < T["wide_obs"] and ratio < T["wide_ratio"]:
        return None
    return Finding(
        "obs_unscaled",
        "entries of the observation have very different sizes",
        (f"entry {obs['widest']} has size {wide:.3g}; the widest varies {ratio:.3g} times as much as the narrowest",),
        "the network sees the large entries alone",
        {"normalize_obs": True},
        weight=3.6 if state(case) == "poor" else 1.0,
        hint=state(case) != "poor",
        source="LeCun et al. 1998, section 4.3",
    )


@rule()
def obs_noise(case: Case) -> Finding | None:
    """Nothing of the next observation follows from the present one."""
    memory = case.env.get("memory")
    if (
        not memory
        or state(case) == "good"
        or memory.get("all_two", 0.0) < T["noise_left"]
        or case.env.get("obs", {}).get("image")
        or case.env.get("obs", {}).get("choices")  # one of many is hard to tell, however orderly they follow
    ):
        return None
    if memory.get("persistence", 1.0) > T["noise_follows"] or (case.config and state(case) != "poor"):
        return None
    recall = case.env.get("recall")
    if recall and min(recall["one"], recall["two"]) < T["noise_left"]:  # rewards follow from them
        return None
    return Finding(
        "obs_noise",
        "observations look like noise",
        (
            f"of no entry more than {1 - memory['all_two']:.0%} of its value can be told from the observation and "
            "action before (healthy environments: most of it)",
        ),
        "what cannot be told apart cannot be decided on",
        advice="see that the observation is that of the present state, in the same order of entries each time",
        weight=6.9,
        source="Kaelbling et al. 1998",
    )


@rule()
def obs_wraps(case: Case) -> Finding | None:
    """Entries that jump from one end to the other, as angles and overflowing integers do."""
    obs = case.env.get("obs", {})
    if not obs.get("wraps") or (state(case) == "good" and case.gain() is not None):
        return None
    return Finding(
        "obs_wraps",
        "an entry of the observation jumps from one end of its values to the other",
        (f"entry {', '.join(map(str, obs['wraps']))}: small steps, but for a few across three quarters of all values",),
        "what lies side by side looks far apart, as an angle just below and just above a full turn",
        {},
        "show an angle as its sine and cosine; give an integer that overflows a wider dtype",
        weight=4.0,
        hint=state(case) != "poor",
        source="Zhou et al. 2019, section 3",
    )


@rule()
def hidden_context(case: Case) -> Finding | None:
    """Something differs between episodes and is not observed (Hallak et al. 2015: contextual MDPs)."""
    context = case.env.get("context") or {}
    if hidden(case.env.get("memory")) or hidden(case.env.get("recall")):  # which says it better
        return None
    if state(case) == "good" and case.gain() is not None:
        return None
    said = {"moves": "how observations change", "pays": "what is rewarded"}
    evidence = tuple(
        f"{left['all']:.0%} of {said[name]} stays unexplained by observation and action, {left['own']:.0%} with the "
        "steps of the same episode alone (where nothing is missing the two are alike)"
        for name, left in context.items()
        if left["all"] >= T["context_all"] and left["own"] <= T["context_own"] * left["all"]
    )
    if not evidence:
        return None
    return Finding(
        "hidden_context",
        "episodes follow different rules, and the observation does not tell which",
        evidence,
        "a goal, or what an action does, was drawn at reset() and is hidden: the best action cannot be told",
        {},
        "put what is drawn into the observation; where an episode gives it away, --encoder lstm finds it out",
        weight=6.3,
        source="Hallak et al. 2015",
    )


def hidden(told: dict[str, float] | None) -> bool:
    """Whether what one observation leaves unexplained is explained by an earlier one."""
    if not told:
        return False
    much = told["one"] >= T["memory_one"] and told["two"] <= T["memory_gain"] * told["one"]
    return much or (told["one"] >= T["memory_least"] and told["two"] <= T["memory_sure"] * told["one"])


@rule()
def memory_missing(case: Case) -> Finding | None:
    """An earlier observation helps to tell the next one (velocities are missing) or the reward (something has to be
    remembered; Kaelbling et al. 1998)."""
    memory, recall = case.env.get("memory"), case.env.get("recall")
    moves, pays = hidden(memory), hidden(recall)
    if not moves and not pays:
        return None
    encoder = case.setting("encoder")
    if encoder in MEMORIES or (case.setting("frame_stack") or 1) > 1:
        return None
    if case.config and state(case) == "good" and case.gain() is not None:
        return None
    remedy = {"encoder": "lstm"}
    usual = case.usual.get("encoder")
    if usual in MEMORIES:
        remedy = {"encoder": usual}
    evidence = []
    if moves:
        evidence.append(
            f"entry {memory['entry']}: {memory['one']:.0%} of its changes stay unexplained by one observation and the "
            f"action, {memory['two']:.0%} by two (where nothing is missing the two are alike)"
        )
    if pays:
        lag = int(recall["lag"])
        earlier = f"the observation of {lag} step{'s' * (lag > 1)} before" if lag else "the episode's first observation"
        evidence.append(
            f"{recall['one']:.0%} of the rewards stay unexplained by one observation and the action, "
            f"{recall['two']:.0%} with {earlier} too (where nothing is missing the two are alike)"
        )
    stack = f"or --frame-stack {max(4, int(recall['lag']) + 1) if pays else 4}"
    return Finding(
        "memory_missing",
        "one observation does not tell what comes next, two do" if moves else "rewards depend on what was seen before",
        tuple(evidence),
        "velocities or other hidden things are missing, and the best action depends on them",
        remedy,
        "" if pays and not recall["lag"] else stack,
        weight=6.1,
        source="Kaelbling et al. 1998; Hausknecht and Stone 2015",
    )


@rule()
def memory_useless(case: Case) -> Finding | None:
    """Memory where one observation tells all."""
    memory = case.env.get("memory")
    if case.setting("encoder") not in MEMORIES or not memory or state(case) == "good":
        return None
    if memory["one"] > 0.1 or case.usual.get("encoder") == case.setting("encoder"):
        return None
    return Finding(
        "memory_useless",
        "memory is there, and one observation seems to tell all",
        (f"one observation and the action explain {1 - memory['one']:.0%} of every entry's changes",),
        "memory is slower to learn and to run",
        {"encoder": case.usual.get("encoder", "auto")},
        weight=1.5,
        hint=True,
        source="Kaelbling et al. 1998",
    )
