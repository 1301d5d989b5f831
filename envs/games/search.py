"""Tree search over any game, batched: every game of a batch has a tree of its own, and all grow by one leaf at a time.

PUCT (Silver et al. 2017) with the network's prior, UCT (Kocsis and Szepesvári 2006) without one, and at the root,
where it is wanted, the sampled actions and sequential halving of Danihelka et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agent_gym.envs.games.game import TURN, Game, outcome, over

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(state [S, B], legal [B, n]) -> logits [B, n] and the value [B] for the player to move, -1 to 1."""
Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(visits, sum of values, prior) [B, n] of the edges of a node -> what to maximise [B, n]."""

NEVER = -1e9  # logit of an action that is not legal


def puct(visits: Tensor, sums: Tensor, prior: Tensor, c_puct: float = 1.5) -> Tensor:
    """Q + c P √N / (1 + n) (Silver et al. 2017); an edge without visits counts as the mean of those that have some."""
    total = visits.sum(1, keepdim=True)
    mean = sums.sum(1, keepdim=True) / total.clamp(min=1.0)
    q = torch.where(visits > 0, sums / visits.clamp(min=1.0), mean)
    return q + c_puct * prior * total.clamp(min=1.0).sqrt() / (1.0 + visits)


def uct(visits: Tensor, sums: Tensor, prior: Tensor, c: float = 1.4) -> Tensor:
    """Q + c √(ln N / n); every edge once before any twice."""
    total = visits.sum(1, keepdim=True)
    explore = c * (total.clamp(min=1.0).log() / visits.clamp(min=1.0)).sqrt()
    return torch.where(visits > 0, sums / visits.clamp(min=1.0) + explore, 1e6 + prior)


def improved(visits: Tensor, sums: Tensor, prior: Tensor) -> Tensor:
    """What keeps visits in proportion to the improved policy inside a tree (Danihelka et al. 2022, equation 14)."""
    policy = improve(prior.clamp(min=1e-30).log(), visits, sums)
    return policy - visits / (1.0 + visits.sum(1, keepdim=True))


def improve(logits: Tensor, visits: Tensor, sums: Tensor, scale: float = 1.0, offset: float = 50.0) -> Tensor:
    """softmax(logits + σ(completed Q)), [B, n]: the policy that the search improved to.

    Values of actions that were not tried are completed by the mean of those that were, weighted by the prior; σ(q) =
    (offset + the most visits) · scale · q (Danihelka et al. 2022, equations 8, 11 and 33, with q from -1 to 1).
    """
    tried = visits > 0
    q = sums / visits.clamp(min=1.0)
    prior = logits.softmax(1) * tried
    mean = (prior * q).sum(1, keepdim=True) / prior.sum(1, keepdim=True).clamp(min=1e-30)
    q = torch.where(tried, q, mean)
    weight = (offset + visits.amax(1, keepdim=True)) * scale / 2.0
    return (logits + weight * q).softmax(1)


class Found(NamedTuple):
    """What a search found out about each of B positions."""

    visits: Tensor  # [B, n]
    values: Tensor  # [B, n]: mean value of each action for the player to move; 0 where it was not tried
    prior: Tensor  # [B, n]: what the evaluation made of the actions
    value: Tensor  # [B]: mean over all simulations
    policy: Tensor  # [B, n]: what to learn from
    best: Tensor  # [B]: the action to take


@dataclass(frozen=True)
class SearchConfig:
    """How a tree is searched."""

    simulations: int = 64
    """Leaves that each search adds."""
    rule: Rule = puct
    """How a simulation goes down the tree."""
    noise_share: float = 0.0
    """Share of Dirichlet noise in the prior of the root; 0: none."""
    noise_total: float = 10.0
    """The sum of the Dirichlet's parameters: each legal action has this over their number."""
    sampled: int = 0
    """Actions that are sampled without replacement at the root and halved in turn; 0: the rule decides there too."""
    perturb: bool = False
    """Sample them with Gumbel noise; without it the most likely ones are taken."""


class Tree:
    """The trees of B games. Node k of game b lies in slot k B + b; edges are (slot, action)."""

    def __init__(self, game: Game, state: Tensor, size: int) -> None:
        self.game, self.batch, self.num_actions = game, state.shape[1], game.num_actions
        slots, device = size * self.batch, state.device
        self.states = torch.empty(state.shape[0], slots, dtype=state.dtype, device=device)
        # visits, sum of values and prior of each edge in one tensor, so that a step down reads once
        self.edges = torch.zeros(slots, 3, game.num_actions, device=device)
        self.children = torch.full((slots, game.num_actions), -1, dtype=torch.int64, device=device)
        self.legal = torch.zeros(slots, game.num_actions, dtype=torch.bool, device=device)
        self.over = torch.zeros(slots, dtype=torch.bool, device=device)
        self.value = torch.zeros(slots, device=device)
        self.roots = torch.arange(self.batch, device=device)
        self.used = 0

    def add(self, state: Tensor, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
        """A node in every tree; returns logits [B, n] and the values [B] for the player to move."""
        rows = slice(self.used * self.batch, (self.used + 1) * self.batch)
        legal, ended = self.game.mask(state), over(state)
        logits, value = self._evaluated(state, legal, ended, evaluate)
        final = outcome(state)
        value = torch.where(ended, torch.where(state[TURN] == 0, final[0], final[1]), value)
        logits = logits.masked_fill(~legal, NEVER)
        self.states[:, rows], self.legal[rows], self.over[rows], self.value[rows] = state, legal, ended, value
        self.edges[rows, 2] = logits.softmax(1)
        self.used += 1
        return logits, value

    def _evaluated(self, state: Tensor, legal: Tensor, ended: Tensor, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
        if state.device.type != "cpu" or not ended.any():
            return evaluate(state, legal)
        logits, value = torch.zeros(legal.shape), torch.zeros(len(legal))
        index = (~ended).nonzero().squeeze(1)
        if len(index):  # the others need no opinion
            logits[index], value[index] = evaluate(state[:, index], legal[index])
        return logits, value

    def simulate(self, rule: Rule, first: Tensor | None, evaluate: Evaluate) -> None:
        """Go down every tree to an edge without a node, give it one, and tell all edges on the way its value.

        `first` [B] is the action at the root, if that is settled.
        """
        slot, action = self.roots, first
        running = ~self.over[slot]
        path, weights, turns = [], [], []
        while True:
            if not path and first is not None:
                chosen = first
            else:
                visits, sums, prior = self.edges[slot].unbind(1)
                chosen = torch.where(self.legal[slot], rule(visits, sums, prior), NEVER).argmax(1)
            action = chosen if not path else torch.where(running, chosen, action)  # games that arrived wait there
            edge = slot * self.num_actions + action
            path.append(edge)
            weights.append(running)
            turns.append(self.states[TURN, slot])
            child = self.children.view(-1)[edge]
            running = running & (child >= 0)
            running &= ~self.over[child.clamp(min=0)]
            if not running.any():
                break
            slot = torch.where(running, child, slot)
        new = self.used * self.batch + self.roots
        state = self.game.play(self.states[:, slot], action)
        _, value = self.add(state, evaluate)
        self.children.view(-1)[edge] = new
        weight, same = torch.stack(weights).float(), torch.stack(turns) == state[TURN]
        signed = torch.where(same, value, -value) * weight
        # an edge's numbers lie (slot, 3, n): visits in the first row, sums in the second
        path = torch.stack(path)
        place = (path // self.num_actions * 3 * self.num_actions + path % self.num_actions).flatten()
        flat = self.edges.view(-1)
        flat.index_add_(0, place, weight.flatten())
        flat.index_add_(0, place + self.num_actions, signed.flatten())


@torch.no_grad()
def search(
    game: Game, state: Tensor, evaluate: Evaluate, config: SearchConfig, generator: torch.Generator, *, legal=None
) -> Found:
    """Search each of the positions `state` [S, B]; `legal` [B, n] narrows what may be played at the root.

    Positions of finished games are not searched; their numbers mean nothing.
    """
    tree = Tree(game, state, config.simulations + 1)
    logits, value = tree.add(state, evaluate)
    batch = tree.batch
    if legal is not None:
        tree.legal[:batch] &= legal
    allowed = tree.legal[:batch]
    logits = logits.masked_fill(~allowed, NEVER)
    prior = logits.softmax(1)
    tree.edges[:batch, 2] = prior
    if config.noise_share > 0.0:
        noise = dirichlet(allowed, config.noise_total, generator)
        tree.edges[:batch, 2] = torch.lerp(prior, noise, config.noise_share)
    if config.sampled:
        best, policy = _halve(tree, logits, evaluate, config, generator)
    else:
        for _ in range(config.simulations):
            tree.simulate(config.rule, None, evaluate)
        visits = tree.edges[:batch, 0]
        policy = visits / visits.sum(1, keepdim=True).clamp(min=1.0)
        best = torch.where(allowed, visits + tree.edges[:batch, 2], NEVER).argmax(1)
    visits, sums = tree.edges[:batch, 0], tree.edges[:batch, 1]
    mean = (value + sums.sum(1)) / (1.0 + visits.sum(1))
    return Found(visits.clone(), sums / visits.clamp(min=1.0), prior, mean, policy, best)


def _halve(tree: Tree, logits: Tensor, evaluate: Evaluate, config: SearchConfig, generator: torch.Generator):
    """Sequential halving at the root (Danihelka et al. 2022, algorithm 2): the winner [B] and the improved policy."""
    batch, allowed = tree.batch, tree.legal[: tree.batch]
    noise = torch.zeros_like(logits)
    if config.perturb:
        noise = -torch.empty_like(logits).exponential_(generator=generator).log()  # Gumbel
    value = logits + noise
    count = min(config.sampled, tree.num_actions)
    rounds = max((count - 1).bit_length(), 1)
    left = config.simulations
    while left > 0:
        visits, sums = tree.edges[:batch, 0], tree.edges[:batch, 1]
        q = sums / visits.clamp(min=1.0)
        scale = (50.0 + visits.amax(1, keepdim=True)) / 2.0
        score = torch.where(allowed, value + torch.where(visits > 0, scale * q, 0.0), 2 * NEVER)
        # actions beyond the legal ones repeat the best
        top = score.topk(count, dim=1).indices
        top = torch.where(allowed.gather(1, top), top, top[:, :1])
        share = max(config.simulations // (rounds * count), 1)
        for number in range(min(share * count, left)):
            tree.simulate(config.rule, top[:, number % count], evaluate)
        left -= min(share * count, left)
        count = max(count // 2, 2 if tree.num_actions > 1 else 1)
    visits, sums = tree.edges[:batch, 0], tree.edges[:batch, 1]
    q = sums / visits.clamp(min=1.0)
    scale = (50.0 + visits.amax(1, keepdim=True)) / 2.0
    # among the most visited, the best by noise, prior and value
    finalists = visits >= visits.amax(1, keepdim=True) - 1.0
    best = torch.where(allowed & finalists & (visits > 0), value + scale * q, 2 * NEVER).argmax(1)
    return best, improve(logits, visits, sums).masked_fill(~allowed, 0.0)


def dirichlet(legal: Tensor, total: float, generator: torch.Generator) -> Tensor:
    """A draw [B, n] from the symmetric Dirichlet over each row's legal actions, whose parameters sum to `total`."""
    alpha = total / legal.sum(1, keepdim=True).clamp(min=1) * legal
    draw = torch._standard_gamma(alpha.clamp(min=1e-6), generator=generator) * legal
    return draw / draw.sum(1, keepdim=True).clamp(min=1e-30)
