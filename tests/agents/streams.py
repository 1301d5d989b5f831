"""Scripted experience of every kind, and a list of full transitions that says what a replay buffer must give."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from agent_gym.agents.buffers.replay import Replay
from agent_gym.envs.vector import Step
from agent_gym.ground.tree import tree_leaves, tree_map

FRAME = (3, 2)
VECTOR = spaces.Box(-1.0, 1.0, (3,))
STACK = 4
IMAGE = spaces.Box(0, 255, (STACK, *FRAME), np.uint8)
SPACES = {
    "vector": VECTOR,
    "discrete": spaces.Discrete(1 << 40),
    "image": IMAGE,
    "picture": spaces.Box(0, 255, FRAME, np.uint8),
    "dict": spaces.Dict({"deep": spaces.Dict({"image": IMAGE}), "vector": VECTOR}),
}


class Script:
    """B environments of random observations, rewards and ends.

    gaps: None; "next_step" (the action after an end is swallowed); "failure" (an environment is replaced).
    padding: what stands for the frames before the first: "repeat" or "zero".
    """

    def __init__(self, kind: str, num_envs: int, seed: int, *, gaps=None, padding="repeat", ends=(0.1, 0.1)):
        self.kind, self.num_envs, self.gaps, self.padding, self.ends = kind, num_envs, gaps, padding, ends
        self.rng = np.random.default_rng(seed)
        self.stack = np.zeros((num_envs, STACK, *FRAME), np.uint8)
        self.ended = np.zeros(num_envs, bool)

    @property
    def space(self) -> spaces.Space:
        return SPACES[self.kind]

    @property
    def frame_stack(self) -> int:
        return STACK if self.kind in ("image", "dict") else 1

    def _observe(self, first: np.ndarray):
        """New observations [B, ...]; those of `first` [B] start episodes."""
        frame = self.rng.integers(1, 256, (self.num_envs, *FRAME), dtype=np.uint8)
        rolled = np.concatenate((self.stack[:, 1:], frame[:, None]), axis=1)
        fresh = np.repeat(frame[:, None], STACK, axis=1)
        if self.padding == "zero":
            fresh[:, :-1] = 0
        self.stack = np.where(first[:, None, None, None], fresh, rolled)
        image = torch.from_numpy(self.stack.copy())
        vector = torch.from_numpy(self.rng.normal(size=(self.num_envs, 3)).astype(np.float32))
        match self.kind:
            case "vector":
                return vector
            case "discrete":
                return torch.from_numpy(self.rng.integers(1 << 40, size=self.num_envs))
            case "image":
                return image
            case "picture":
                return image[:, -1].contiguous()
        return {"deep": {"image": image}, "vector": vector}

    def reset(self):
        self.ended[:] = False
        self.obs = self._observe(np.ones(self.num_envs, bool))
        return self.obs

    def step(self) -> tuple[torch.Tensor, Step]:
        """A random action and what it led to."""
        size = self.num_envs
        action = torch.from_numpy(self.rng.normal(size=(size, 2)).astype(np.float32))
        reward = torch.from_numpy(self.rng.normal(size=size).astype(np.float32))
        terminated, truncated = (torch.from_numpy(self.rng.random(size) < chance) for chance in self.ends)
        valid, nothing = None, np.zeros(size, bool)
        if self.gaps == "next_step":  # the environment shows the last observation and then swallows an action
            valid = torch.from_numpy(~self.ended)
            terminated, truncated = terminated & valid, truncated & valid
            obs = final_obs = self._observe(self.ended)
            self.ended = (terminated | truncated).numpy()
        else:
            before = self.obs
            final_obs = self._observe(nothing)
            if self.gaps == "failure":
                valid = torch.from_numpy(self.rng.random(size) > 0.1)
                terminated, truncated = terminated & valid, truncated | ~valid
                final_obs = tree_map(lambda new, old: torch.where(like(valid, new), new, old), final_obs, before)
            done = terminated | truncated
            obs = final_obs
            if done.any():
                rolled = self.stack
                first_obs = self._observe(done.numpy())
                self.stack = np.where(done.numpy()[:, None, None, None], self.stack, rolled)
                obs = tree_map(lambda new, old: torch.where(like(done, new), new, old), first_obs, final_obs)
        self.obs = obs
        return action, Step(obs, reward, terminated, truncated, final_obs, {}, valid)


def like(mask: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    return mask.view(-1, *[1] * (leaf.dim() - 1))


def key(obs) -> bytes:
    """An observation [...] of one environment as something to look up."""
    return b"".join(leaf.contiguous().numpy().tobytes() for leaf in tree_leaves(obs))


class Reference:
    """Every transition in full, kept in lists; `rows[t][b]` is None where an action was swallowed."""

    def __init__(self, num_envs: int):
        self.num_envs = num_envs
        self.rows: list[list[dict | None]] = []
        self.latest: list[dict | None] = [None] * num_envs  # what the next transition of each continues

    def begin(self) -> None:
        self.latest = [None] * self.num_envs

    def add(self, obs, action: torch.Tensor, step: Step) -> None:
        row: list[dict | None] = []
        for b in range(self.num_envs):
            if step.valid is not None and not step.valid[b]:
                row.append(None)
                self.latest[b] = None
                continue
            transition = {
                "obs": tree_map(lambda x, b=b: x[b].clone(), obs),
                "next_obs": tree_map(lambda x, b=b: x[b].clone(), step.final_obs),
                "action": action[b].clone(),
                "reward": step.reward[b].item(),
                "terminated": step.terminated[b].item(),
                "after": None,
            }
            if self.latest[b] is not None:
                self.latest[b]["after"] = transition
            self.latest[b] = None if step.terminated[b] or step.truncated[b] else transition
            row.append(transition)
        self.rows.append(row)

    def latest_rows(self, count: int) -> dict[bytes, dict]:
        """The transitions of the latest rows, by observation."""
        rows = self.rows[-count:] if count else []
        return {key(transition["obs"]): transition for row in rows for transition in row if transition is not None}


def n_steps(transition: dict, n: int, gamma: float) -> tuple[float, float, object]:
    """The sum of up to n rewards, the discount of what follows and the observation there."""
    total, discount = 0.0, 1.0
    for k in range(n):
        total += discount * transition["reward"]
        discount *= gamma
        if transition["terminated"]:
            return total, 0.0, transition["next_obs"]
        if transition["after"] is None or k == n - 1:
            break
        transition = transition["after"]
    return total, discount, transition["next_obs"]


def play(script: Script, replay: Replay, reference: Reference, steps: int, begin_chance: float = 0.0) -> None:
    """Act `steps` times; with a chance all episodes are begun anew, as at a checkpoint."""
    for _ in range(steps):
        if not reference.rows or script.rng.random() < begin_chance:
            replay.begin(script.reset())
            reference.begin()
        before = script.obs
        action, step = script.step()
        replay.add(action, step)
        reference.add(before, action, step)


def make_replay(script: Script, capacity: int, **options) -> Replay:
    action = torch.zeros(script.num_envs, 2)
    return Replay(capacity, script.num_envs, script.space, action, frame_stack=script.frame_stack, **options)
