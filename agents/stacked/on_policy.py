"""Agents that learn from rollouts, several at once: one network call acts for all, one program learns for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from gymnasium import spaces
from torch import Tensor
from torch.func import vmap

from agent_gym.agents.buffers.returns import gae
from agent_gym.agents.buffers.rollout import Rollout, slices
from agent_gym.agents.ppo import PPO
from agent_gym.envs.vector import EnvFailure, Step, Told
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import Tree, tree_map
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.learner.learner import NonFiniteError, Stats
from agent_gym.nets.learner.stacked import Stack, StackedLearner
from agent_gym.nets.normalisation import PeakNorm, VectorNorm, discounted_returns

CHANGEABLE = ("learning_rate", "gamma", "gae_lambda", "clip_coef", "value_coef", "entropy_coef")
"""Settings in which members may differ, and that may change in a run."""


class Envs(Protocol):
    """The environments of all members as S x B rows (envs.stacked)."""

    mask: Tensor | None

    def take_up(self) -> None: ...

    def hand_back(self) -> None: ...

    def step(self, action: Tensor) -> Step: ...


def refusal(agent: Any) -> str:
    """Why runs of such an agent cannot be stacked; "": they can."""
    config, env = agent.config, agent.env
    if type(agent) is not PPO:
        return f"{type(agent).__name__.lower()} is trained run by run"
    if agent.device.type != "cpu" or config.precision != "float32" or config.compile:
        return "graphs of a GPU, --compile and --precision belong to one run"
    if agent.state_dim or has_image(env.obs_space) or ":" in config.encoder or config.dropout:
        return "memories, images, dropout and encoders of one's own are trained run by run"
    if any(isinstance(module, PeakNorm) for module in agent.policy.modules()):
        return "pictures of whole numbers are stretched run by run"
    if not agent.policy.alone or env.members > 1 or env.acts is not None or config.self_play:
        return "many agents are trained run by run"
    if agent.held_noise or config.target_kl > 0:
        return "--sde-every and --target-kl make runs take different ways"
    if config.log_layers or config.on_env_error != "stop" or config.profile != "no":
        return "--log-layers, --on-env-error restart and --profile look at one run"
    if env.backend not in ("native", "gymnasium"):
        return f"environments of backend {env.backend} have processes of their own"
    return "its actions are drawn in several parts" if isinstance(env.action_space, spaces.Dict) else ""


class StackedOnPolicy:
    """S agents with S x B environments in step with each other: `collect` and `update` do what theirs would.

    Every agent keeps its own generators, statistics, counters and optimizer, and its state is whole between calls:
    between them it can be saved, scored and looked at as if it were trained alone.
    """

    def __init__(self, agents: Sequence[PPO], envs: Envs) -> None:
        self.agents, self.envs = agents, envs
        self.first, self.config = agents[0], agents[0].config
        self.size, self.each = len(agents), self.first.env.num_envs
        modules = [[agent.policy, agent.coefficients] for agent in agents]
        self.stack = Stack(modules, [[agent.learner] for agent in agents])
        self.learner = StackedLearner(self.stack, [agent.learner for agent in agents], self.first.loss)
        policy, network = self.first.policy, self.first.network
        acting = [network.encoder, network.head, policy.obs_norm]
        self.act = self.stack.mapped(policy.act_by, acting)
        self.value = self.stack.mapped(policy.value)
        self.evaluated = self.stack.mapped(self.first.evaluated)
        self.summary = self.stack.mapped(self.first._summary, [self.first.coefficients])
        self.normalised = self.stack.mapped(lambda obs: policy.obs_norm(obs), [policy.obs_norm])
        self.rollout = Rollout(self.config.num_steps, self.size * self.each, "cpu")
        with torch.no_grad():
            self.noise = self.first.policy.noise(torch.zeros(1, 1, self.first.network.encoder.out_dim))
        self._agree()

    def mine(self, s: int) -> slice:
        """The rows of member s."""
        return slice(s * self.each, (s + 1) * self.each)

    def apart(self, tree: Tree) -> Tree:
        """[S x B, ...] as [S, B, ...]."""
        return tree_map(lambda x: x.unflatten(0, (self.size, self.each)), tree)

    def over_time(self, tree: Tree) -> Tree:
        """[T, S x B, ...] as [S, T, B, ...]."""
        return tree_map(lambda x: x.unflatten(1, (self.size, self.each)).transpose(0, 1), tree)

    def together(self, x: Tensor) -> Tensor:
        """[S, T, B] as [T, S x B]."""
        return x.transpose(0, 1).flatten(1)

    def _agree(self) -> None:
        """What is decided outside of tensors is decided for all: an observation is looked at if it is for one."""
        for norms in zip(*(agent.policy.modules() for agent in self.agents), strict=True):
            if isinstance(norms[0], VectorNorm):
                idle = all(norm.idle for norm in norms)
                for norm in norms:
                    norm.idle = idle

    def _drawn(self) -> Tensor:
        """The noise of a rollout [T, S, B, ...], as each agent would draw it step by step."""
        steps, shape = self.config.num_steps, self.noise.shape
        noise = torch.empty(steps, self.size, self.each, *shape)
        for s, agent in enumerate(self.agents):
            if self.noise.kind == "uniform":  # many numbers at once are the same as few at a time
                noise[:, s] = torch.rand(steps, self.each, *shape, generator=agent.generator)
                continue
            for t in range(steps):
                noise[t, s] = torch.randn(1, self.each, *shape, generator=agent.generator)[0]
        return noise

    def collect(self) -> list[dict[str, float]]:
        """A rollout of all; what each agent's `collect` returns."""
        noise = self._drawn()
        try:
            with torch.inference_mode():
                self._fill(noise)
        except EnvFailure as error:
            raise UserError(f"one of the seeds {self._seeds()}: {error}") from error
        self.envs.hand_back()
        reward, done = self.rollout["reward"], self.rollout["terminated"] | self.rollout["truncated"]
        found = []
        for s, agent in enumerate(self.agents):
            rows = self.mine(s)
            agent.obs, agent.reset = tree_map(lambda x, rows=rows: x[rows], self.obs), self.reset[rows]
            agent.steps += len(reward) * self.each
            found.append(agent.episode_scalars(agent.episodes.update(reward[:, rows], done[:, rows])))
        return found

    def _seeds(self) -> str:
        return ", ".join(str(agent.config.seed) for agent in self.agents)

    def _fill(self, noise: Tensor) -> None:
        self.envs.take_up()
        self.first.first_state = self.first.state
        parts = [agent.obs for agent in self.agents]
        obs, reset = tree_map(lambda *x: torch.cat(x), *parts), torch.cat([agent.reset for agent in self.agents])
        self.cut: list[tuple[int, Tree]] = []
        for t in range(self.config.num_steps):
            mask = self.envs.mask
            masks = () if mask is None else (self.apart(mask),)
            action, raw = self.act(self.apart(obs), noise[t], *masks)
            step = self.envs.step(action.flatten(0, 1))
            fields = {} if mask is None else {"mask": mask}
            fields |= {"obs": obs, "reset": reset, "action": raw.flatten(0, 1), "reward": step.reward}
            self.rollout.add(t, **fields, terminated=step.terminated, truncated=step.truncated)
            if step.truncated.any():
                self.cut.append((t, step.final_obs))
            obs, reset = step.obs, step.terminated | step.truncated
            if step.info:
                for s, agent in enumerate(self.agents):
                    rows = self.mine(s)
                    agent.infos.add(Told(step.info.names, step.info.table[rows]), reset[rows])
        self.obs, self.reset = obs, reset

    def update(self) -> list[Stats]:
        """Learn from the rollout; what each agent's `update` returns. Raises NonFiniteError that names the seed."""
        for agent in self.agents:
            agent.prepare()
        batch, stats = self._targets(), []
        try:
            for _ in range(self.config.num_epochs):
                self._epoch(batch, stats)
        except NonFiniteError as error:
            seed = self.agents[error.member].config.seed
            raise NonFiniteError(
                f"seed {seed}: {error}: its last good checkpoint is kept; a lower --learning-rate, --max-grad-norm "
                "0.5 or normalised observations and rewards usually mend it"
            ) from error
        for s, agent in enumerate(self.agents):
            rows = self.mine(s)
            agent.obs_norm.update(tree_map(lambda x, rows=rows: x[:, rows], self.rollout["obs"]))
        self._agree()
        means = self.summary(stats)
        if batch["returns"].shape[1] > 1:
            residual = batch["returns"] - batch["value"]
            means["explained_variance"] = 1.0 - residual.var(1) / batch["returns"].var(1)
        rates = torch.tensor([agent.learner.learning_rate for agent in self.agents])
        return [dict(zip(means, row, strict=True)) | {"learning_rate": rate} for row, rate in _rows(means, rates)]

    @torch.no_grad()
    def _targets(self) -> dict[str, Tree]:
        """Fields [S, T x B, ...] to learn from."""
        rollout = self.rollout
        terminated, truncated = rollout["terminated"], rollout["truncated"]
        none = torch.zeros(self.each, 0)
        state, never = none.expand(self.size, -1, -1), torch.zeros(self.size, self.each, dtype=torch.bool)
        last_value = self.value(self.apart(self.obs), state, never).flatten()
        final_value = torch.zeros_like(rollout["reward"])
        for t, obs in self.cut:
            final_value[t] = self.value(self.apart(obs), state, never).flatten()
        batch = {"reset": self.over_time(rollout["reset"]), "action": self.over_time(rollout["action"])}
        batch["obs"] = self.normalised(self.over_time(rollout["obs"]))
        if "mask" in rollout.fields:
            batch["mask"] = self.over_time(rollout["mask"])
        batch |= self.evaluated(batch)
        value = self.together(batch["value"])
        reward = self._scaled(rollout["reward"], terminated | truncated, terminated)
        fields, targets = (reward, value, terminated, truncated, final_value), []
        for rows, gamma, trace in self._alike():
            targets.append(gae(*(field[:, rows] for field in fields), last_value[rows], gamma, trace))
        advantage, returns = (torch.cat(part, dim=1) for part in zip(*targets, strict=True))
        batch |= {"advantage": self.over_time(advantage), "returns": self.over_time(returns)}
        return tree_map(lambda x: x.flatten(1, 2), batch)

    def _alike(self) -> list[tuple[slice, float, float]]:
        """Rows of members that discount alike, with gamma and lambda: all of them, unless they have been changed."""
        ways = [(agent.config.gamma, agent.trace) for agent in self.agents]
        if len(set(ways)) == 1:
            return [(slice(None), *ways[0])]
        return [(self.mine(s), *way) for s, way in enumerate(ways)]

    def _scaled(self, reward: Tensor, done: Tensor, terminated: Tensor) -> Tensor:
        reward = self.config.learned_reward(reward)
        if not self.config.normalize_returns:
            return reward
        scales = [agent.return_scale for agent in self.agents]
        carried, parts = torch.cat([scale.discounted for scale in scales]), []
        told = [
            discounted_returns(reward[:, rows], done[:, rows], carried[rows], gamma) for rows, gamma, _ in self._alike()
        ]
        returns, carried = torch.cat([part for part, _ in told], dim=1), torch.cat([part for _, part in told])
        for s, scale in enumerate(scales):
            rows = self.mine(s)
            scale.take(reward[:, rows], done[:, rows], returns[:, rows], carried[rows])
            parts.append(scale.transform(reward[:, rows], terminated[:, rows]))
        return torch.cat(parts, dim=1)

    def set(self, s: int, **values: float) -> None:
        """Change settings of member s that are numbers: those of `CHANGEABLE`."""
        agent = self.agents[s]
        agent.config = agent.learner.config = replace(agent.config, **values)
        agent.trace, agent.return_scale.gamma = agent.config.gae_lambda, agent.config.gamma
        for name, place in agent.coefficients.named_buffers():
            place.fill_(getattr(agent.config, name))

    def copy(self, source: int, target: int) -> None:
        """Give member `target` the weights, statistics and optimizer of `source`; episodes and generators it keeps."""
        ours, theirs = self.agents[source], self.agents[target]
        theirs.policy.load_state_dict(ours.policy.state_dict())
        for name, part in ours.learner.optimizer.state.items():
            theirs.learner.optimizer.state[name].copy_(part)
        theirs.return_scale.rewards.load_state_dict(ours.return_scale.rewards.state_dict())
        self._agree()

    def _epoch(self, batch: dict[str, Tree], stats: list[Stats]) -> None:
        """One pass over the rollout, each agent's in the order that it draws."""
        count = batch["reset"].shape[1]
        orders = [torch.randperm(count, generator=agent.generator) for agent in self.agents]
        rows = torch.stack(orders) + count * torch.arange(self.size).unsqueeze(1)
        prepared = vmap(self.first.prepared)
        for part in slices(count, self.config.num_minibatches):
            mine, shape = rows[:, part].flatten(), (self.size, 1, part.stop - part.start)
            minibatch = tree_map(
                lambda x, mine=mine, shape=shape: x.flatten(0, 1).index_select(0, mine).unflatten(0, shape), batch
            )
            state = torch.zeros(self.size, shape[2], 0)
            stats.append(self.learner.update(prepared(minibatch), state))


def _rows(means: Stats, rates: Tensor) -> Any:
    """Row by row: the values of each member, and its learning rate."""
    return zip(zip(*(value.unbind() for value in means.values()), strict=True), rates.unbind(), strict=True)
