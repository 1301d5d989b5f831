"""Decisions of agents that wait: for their turn, or for the end of the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agent_gym.agents.buffers.replay import Replay
from agent_gym.envs.vector import Step
from agent_gym.ground.tree import tree_map


def decisions(fields: dict[str, Any], acts_next: Tensor, last: dict[str, Any]) -> dict[str, Any]:
    """A rollout [T, B, ...] with its waiting steps taken out: fields [L, B, ...], L the most decisions of a row.

    `fields` are a Rollout's, with "acts" [T, B] bool; `acts_next` [B]: who acts after the last step; `last`: fields of
    that moment (obs and value) [B, ...]. A decision gets the rewards up to the row's next one, and the end that came
    before it. Behind a row's last decision stand `last` and "valid" False. A decision whose outcome is still open is
    not valid either: the ones before it bootstrap from its value.
    """
    acts, reward = fields["acts"], fields["reward"]
    steps, rows = acts.shape
    rank = acts.long().cumsum(0) - 1  # [T, B]: the decision that a step belongs to, -1 before the first
    counts = rank[-1] + 1
    length = max(int(counts.max()), 1)
    decided = torch.arange(length, device=acts.device).unsqueeze(1) < counts  # [L, B]
    time = torch.arange(steps, device=acts.device).unsqueeze(1).expand(steps, rows)
    slot = torch.where(acts, rank, length)  # waiting steps write into a row that is cut off
    at = torch.zeros(length + 1, rows, dtype=torch.int64, device=acts.device).scatter_(0, slot, time)[:length]

    ends = fields["terminated"] | fields["truncated"]
    ended_before = ends.long().cumsum(0) - ends.long()
    own = rank.clamp(min=0)
    # the first end behind a decision is its own; another is of an episode in which the row did not act
    mine = (rank >= 0) & (ended_before == ended_before.gather(0, at).gather(0, own))

    def gathered(x: Tensor) -> Tensor:
        index = at.view(length, rows, *[1] * (x.dim() - 2)).expand(length, rows, *x.shape[2:])
        return x.gather(0, index)

    def over_span(x: Tensor) -> Tensor:
        total = torch.zeros(length, rows, dtype=torch.float64, device=x.device)
        return total.scatter_add_(0, own, torch.where(mine, x.double(), 0.0))

    passed = {"acts", "reward", "terminated", "truncated", "final_value", "valid"}
    found = {name: tree_map(gathered, part) for name, part in fields.items() if name not in passed}
    for name, part in last.items():
        found[name] = tree_map(lambda new, old: torch.where(_like(decided, new), new, old), found[name], part)
    found["reward"] = over_span(reward).to(reward.dtype)
    found["terminated"] = over_span(fields["terminated"]) > 0
    found["truncated"] = over_span(fields["truncated"]) > 0
    found["final_value"] = over_span(torch.where(ends, fields["final_value"], 0.0)).to(reward.dtype)
    open_ = torch.arange(length, device=acts.device).unsqueeze(1) == counts - 1
    open_ &= ~(found["terminated"] | found["truncated"] | acts_next)
    found["valid"] = decided & ~open_
    if "valid" in fields:
        found["valid"] &= gathered(fields["valid"])
    return found


class OpenDecisions:
    """For a replay buffer: decisions whose outcome is still open, one of each row at most.

    One goes to the buffer when its row is to act next, in the same episode or another: then it is known what followed.
    """

    def __init__(self, num_envs: int, device: torch.device | str) -> None:
        self.open = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self.kept: dict[str, Any] = {}

    def add(
        self, replay: Replay, action: Tensor, step: Step, state: Tensor | None, acted: Tensor, acts: Tensor
    ) -> None:
        """Rows that `acted` [B] took `action` [B, ...] with memory `state` [B, S]; those that `acts` [B] are next."""
        done, failed = step.terminated | step.truncated, acted.new_zeros(len(acted))
        if step.valid is not None:
            failed = ~step.valid
        fresh = {
            "action": action,
            "reward": torch.zeros_like(step.reward),
            "terminated": torch.zeros_like(done),
            "truncated": torch.zeros_like(done),
            "final_obs": step.final_obs,
        }
        fresh |= {} if state is None else {"state": state}
        fresh |= {} if step.final_mask is None else {"final_mask": step.final_mask}
        kept = tree_map(lambda new, old: _choose(acted, new, old), fresh, self.kept) if self.kept else fresh
        self.open = (self.open | acted) & ~failed
        running = self.open & ~(kept["terminated"] | kept["truncated"])
        kept["reward"] = kept["reward"] + torch.where(running, step.reward, 0.0)
        kept["terminated"] = kept["terminated"] | (running & step.terminated)
        kept["truncated"] = kept["truncated"] | (running & step.truncated)
        last = {"final_obs": step.final_obs} | ({"final_mask": step.final_mask} if "final_mask" in kept else {})
        for name, part in last.items():
            kept[name] = tree_map(lambda new, old: _choose(running & done, new, old), part, kept[name])
        self.kept = kept
        closed, begins = (self.open & acts).nonzero().squeeze(1), (~self.open & acts).nonzero().squeeze(1)
        if len(begins):
            mask = None if step.mask is None else step.mask[begins]
            replay.renew(tree_map(lambda x: x[begins], step.obs), mask, begins)
        if len(closed):
            self._close(replay, step, closed)

    def _close(self, replay: Replay, step: Step, rows: Tensor) -> None:
        own = tree_map(lambda x: x[rows], self.kept)
        obs = tree_map(lambda x: x[rows], step.obs)
        ended = own["terminated"] | own["truncated"]
        final = tree_map(lambda last, now: _choose(ended, last, now), own["final_obs"], obs)
        found = Step(obs, own["reward"], own["terminated"], own["truncated"], final, {})
        if step.mask is not None:
            mask = step.mask[rows]
            found = found._replace(mask=mask, final_mask=_choose(ended, own["final_mask"], mask))
        replay.add(own["action"], found, own.get("state"), rows)
        self.open = self.open.index_fill(0, rows, False)

    def state_dict(self) -> dict[str, Any]:
        return {"open": self.open, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.open, self.kept = state["open"].to(self.open.device), state["kept"]


def _choose(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """new [B, ...] where mask [B] holds, else old."""
    return torch.where(mask.view(-1, *[1] * (new.dim() - 1)), new, old)


def _like(mask: Tensor, x: Tensor) -> Tensor:
    return mask.view(*mask.shape, *[1] * (x.dim() - 2))


def held(acts: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
    """The memory [B, S] after a step: that of who waits stays."""
    return new if acts is None else torch.where(acts.unsqueeze(1), new, old)


def starts(acts: Tensor | None, ended: Tensor, reset: Tensor) -> Tensor:
    """Whether the next decision [B] starts an episode: the row `ended` one, or has waited since it did."""
    return ended if acts is None else ended | (reset & ~acts)
