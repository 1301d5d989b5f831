"""Every agent of every joint environment as a row of its own: what agents learn from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agent_gym.envs.multi_agent.cast import Cast, nest
from agent_gym.envs.multi_agent.joint import ACTS, FACTS, GLOBAL, LEGAL, REWARD, TERMINATED, TRUNCATED, leaf_key
from agent_gym.envs.vector import Obs, Step, VectorEnv, part_of

WINDOW = 100  # episodes that the scalars tell of


class RowsEnv(VectorEnv):
    """K joint environments with N agents each as K x N rows, those of one environment side by side.

    A row acts where `acts` holds; elsewhere its agent waits for its turn, or has ended and waits for the others.
    """

    def __init__(self, joint: VectorEnv, cast: Cast) -> None:
        self.joint, self.cast = joint, cast
        self.id, self.device, self.backend, self.choice = joint.id, joint.device, joint.backend, joint.choice
        self.members, self.num_envs = len(cast), joint.num_envs * len(cast)
        self.names = tuple(cast.agents)
        self.over = torch.zeros(joint.num_envs, dtype=torch.bool, device=self.device)
        self.obs_space, self.action_space = cast.obs_space, cast.action_space
        self.group = torch.tensor(cast.group, device=self.device).repeat(joint.num_envs)
        self.acts = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self.playing = self.acts  # rows whose episode runs
        self.running = torch.zeros(joint.num_envs, len(cast), dtype=torch.float64, device=self.device)
        self.returns = torch.zeros(0, len(cast), dtype=torch.float64)  # of the latest episodes, by agent

    @property
    def recovery(self) -> Any:
        return self.joint.recovery

    @property
    def steps(self) -> int:
        return self.joint.steps

    @property
    def busy_since(self) -> float | None:
        return self.joint.busy_since

    @property
    def outside(self) -> int:
        return self.joint.outside

    @property
    def saving(self) -> str:
        return self.joint.saving

    def reset(self, seed: int) -> Obs:
        self.running = torch.zeros_like(self.running)
        return self._begin(self.joint.reset(seed))

    def _begin(self, obs: dict[str, Tensor]) -> Obs:
        self.playing = torch.ones_like(self.acts)
        self._look(obs)
        return self._rows(obs)

    def _look(self, obs: dict[str, Tensor]) -> None:
        """Who is to act, and what is allowed; who waits may think of anything."""
        self.acts = obs[FACTS][..., ACTS].flatten() > 0
        self.mask = self._legal(obs)

    @staticmethod
    def _legal(obs: dict[str, Tensor]) -> Tensor | None:
        return obs[LEGAL].flatten(0, 1) > 0 if LEGAL in obs else None

    def _rows(self, obs: dict[str, Tensor]) -> Obs:
        """The rows' observations in the joint ones."""
        cast, count = self.cast, self.joint.num_envs
        parts: dict[str, Any] = {}
        for g, (layout, members) in enumerate(zip(cast.layouts, cast.members, strict=True)):
            arrays = []
            for k, leaf in enumerate(layout.leaves):
                own = obs[leaf_key(g, k)].reshape(count, len(members), *leaf.shape)
                if len(cast.members) > 1:
                    whole = own.new_zeros(count, len(cast), *leaf.shape)
                    whole[:, members] = own
                    own = whole
                arrays.append(own.flatten(0, 1))
            parts[part_of(g)] = self._nested(layout, arrays)
        state = obs[GLOBAL].repeat_interleave(len(cast), 0) if GLOBAL in obs else None
        return nest(parts, self.group, state)

    @staticmethod
    def _nested(layout: Any, arrays: list[Tensor]) -> Obs:
        typed = [array.to(torch.from_numpy(layout.empty(1)[k]).dtype) for k, array in enumerate(arrays)]
        if not layout.leaves[0].path:
            return typed[0]
        found: dict[str, Any] = {}
        for leaf, array in zip(layout.leaves, typed, strict=True):
            node = found
            for key in leaf.path[:-1]:
                node = node.setdefault(str(key), {})
            node[str(leaf.path[-1])] = array
        return found

    def step(self, action: Tensor) -> Step:
        count, members = self.joint.num_envs, self.members
        joint = self.joint.step(action.reshape(count, members * int(action[0].numel())).reshape(self._shape()))
        facts = joint.final_obs[FACTS]
        real = torch.ones(count, dtype=torch.bool, device=self.device) if joint.valid is None else joint.valid
        ended = (joint.terminated | joint.truncated).repeat_interleave(members)
        reward = torch.where(real.unsqueeze(1), facts[..., REWARD], 0.0)
        real = real.repeat_interleave(members)
        terminated = (facts[..., TERMINATED].flatten() > 0) & real & self.playing
        truncated = (facts[..., TRUNCATED].flatten() > 0) & real & self.playing
        left = self.playing & ended & ~(terminated | truncated)  # who had not ended by itself
        terminated = terminated | (left & joint.terminated.repeat_interleave(members))
        truncated = truncated | (left & joint.truncated.repeat_interleave(members))
        self._look(joint.obs)
        self.playing = ended | (self.playing & ~(terminated | truncated)) | self.acts
        obs = final_obs = self._rows(joint.obs)
        if joint.final_obs is not joint.obs:
            final_obs = self._rows(joint.final_obs)
        elif (terminated | truncated).any():
            final_obs = self._rows(joint.obs)  # an end that the others outlive: another object, as the contract asks
        self._count(reward, joint)
        self.over = joint.terminated | joint.truncated
        return Step(
            obs,
            reward.flatten(),
            terminated,
            truncated,
            final_obs,
            {},
            None if joint.valid is None else real,
            self.mask,
            self._legal(joint.final_obs) if joint.final_obs is not joint.obs else self.mask,
        )

    def _shape(self) -> tuple[int, ...]:
        return (self.joint.num_envs, *self.joint.action_space.shape)

    def _count(self, reward: Tensor, joint: Step) -> None:
        """Returns by agent, of episodes that came to their end."""
        self.running = self.running + reward
        over = joint.terminated | joint.truncated
        if over.any():
            real = over if joint.valid is None else over & joint.valid
            self.returns = torch.cat((self.returns, self.running[real].cpu()))[-WINDOW:]
            self.running = self.running.masked_fill(over.unsqueeze(1), 0.0)

    def scalars(self) -> dict[str, float]:
        if not len(self.returns):
            return {}
        means = self.returns.mean(0).tolist()
        return {"rollout/team_return": sum(means)} | {
            f"rollout/agents/{name}": mean for name, mean in zip(self.names, means, strict=True)
        }

    def check(self) -> None:
        self.joint.check()

    def settle(self) -> None:
        self.joint.settle()

    def begin_again(self, rows: list[int], seed: int) -> Obs | None:
        """`rows` are joint environments."""
        obs = self.joint.begin_again(rows, seed)
        if obs is None:
            return None
        self._look(obs)
        anew = torch.tensor(rows, device=self.device)
        self.running = self.running.index_fill(0, anew, 0.0)
        self.playing = self.playing.view(-1, self.members).index_fill(0, anew, True).flatten()
        return self._rows(obs)

    def shown(self) -> list[int]:
        """Of each joint environment a row whose agent acts now."""
        acting = self.acts.view(-1, self.members).int().argmax(1)
        return (torch.arange(len(acting), device=acting.device) * self.members + acting).tolist()

    def state_dict(self) -> dict[str, Any] | None:
        state = self.joint.state_dict()
        if state is None:
            return None
        own = {"acts": self.acts, "playing": self.playing, "running": self.running, "returns": self.returns}
        return {"joint": state, "mask": self.mask} | own

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        if not self.joint.load_state_dict(state["joint"]):
            return False
        self.acts, self.playing, self.running = (state[key].to(self.device) for key in ("acts", "playing", "running"))
        self.mask = None if state["mask"] is None else state["mask"].to(self.device)
        self.returns = state["returns"].cpu()
        return True

    def close(self) -> None:
        self.joint.close()
