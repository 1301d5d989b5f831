"""Agents with a replay buffer that gather what they learn from themselves: acting, storing, measuring rewards."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.agents.buffers.hindsight import HindsightReplay
from agent_gym.agents.buffers.history import RankedHistory, ReplayHistory
from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.buffers.turns import OpenDecisions, held, starts
from agent_gym.agents.off_policy.agent import OffPolicy
from agent_gym.agents.settings.off_policy import OffPolicyConfig
from agent_gym.envs.vector import Step, VectorEnv
from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.make import has_image
from agent_gym.nets.learner.cuda_graphs import Recorded
from agent_gym.nets.learner.scripted import Scripted
from agent_gym.nets.normalisation import VectorNorm
from agent_gym.nets.ranks import RANKS

TOGETHER = 64  # steps of each environment whose rewards are measured together
SELDOM = 8  # steps from which one observation is measured, once learning has begun


class Acting(OffPolicy):
    """Acts and remembers, unless a data set has all that it learns from.

    A subclass gives its networks, `explore`, `random_action` and `fit`.
    """

    acts_alike = True
    """`explore` does the same with tensors alone each time, so that a graph can replay it."""

    def __init__(self, config: OffPolicyConfig, env: VectorEnv, device: torch.device | str = "cpu") -> None:
        super().__init__(config, env, device)
        if config.her != "no" and env.relabel is None:
            raise UserError(
                f"--her {config.her}: {env.id} ({env.backend}) does not say what another goal would have brought: "
                "expected observations with achieved_goal and desired_goal, a method compute_reward, and --backend "
                "native, sync or async"
            )
        self.waiting = OpenDecisions(env.num_envs, self.device)
        self.unmeasured: list[tuple[Tensor, Tensor]] = []  # rewards and ends [T, B], not yet in `return_scale`
        self.rows_unmeasured = 0
        if self.on_gpu:
            how = {"record": self._graphs() and self.acts_alike, "borrowed": not self.state_dim}
            acting = Recorded("acting", self._explore_at, self.device, lambda: (), [self.generator], **how)
            self.recorded = {"acting": acting} | self.recorded

    @abstractmethod
    def explore(self) -> tuple[Tensor, Tensor, Tensor]:
        """For the current observations: the environment's action, the action to store, the next memory."""

    @abstractmethod
    def random_action(self, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The environment's action and the action to store, drawn without looking; `mask` [B, n]: those allowed."""

    def by_itself(self) -> str:
        config = self.config
        if config.data or config.demonstrations or config.her != "no" or config.prioritized:
            return "--data, --demonstrations, --her and --prioritized draw run by run"
        return ""

    def chances(self) -> dict[str, Tensor]:
        """What `explored` takes that `explore` would draw: without memory, for one step."""
        raise UserError(f"{type(self).__name__} explores by itself")

    def explored(self, obs: Any, drawn: dict[str, Tensor], mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`explore` without memory, as a function of tensors: the environment's action and the action to store."""
        raise UserError(f"{type(self).__name__} explores by itself")

    @cached_property
    def script(self) -> Scripted | None:
        """`explored` as its bare operations, where that is all that exploring does; its way is which norms are idle."""
        apart = self.state_dim or self.env.members > 1 or has_image(self.env.obs_space) or not self.acts_alike
        drawn_in_parts = isinstance(self.env.action_space, spaces.Dict) or not getattr(self.policy, "alone", True)
        if self.on_gpu or apart or drawn_in_parts or type(self).explored is Acting.explored:
            return None
        return Scripted(self.explored, self.config.capture)

    @cached_property
    def norms(self) -> list[VectorNorm]:
        """Of the observations."""
        return [module for module in self.policy.obs_norm.modules() if isinstance(module, VectorNorm)]

    def about_to_act(self) -> None:
        """Called before each step: put where graphs find it what acting depends on."""

    @cached_property
    def replay(self) -> Replay:
        """Made when training begins: who only plays needs no room for it. Raises UserError."""
        config = self.config
        if self.config.data:
            return super().replay
        if self.state_dim:
            needed = self.env.num_envs * (config.burn_in + config.sequence_length + config.n_step + 1)
            if config.learning_starts < needed * RANKS.size:
                raise UserError(
                    f"--learning-starts {config.learning_starts} is less than one sequence of every environment "
                    f"(--burn-in and --sequence-length): expected at least {needed * RANKS.size}"
                )
            if config.buffer_size < needed:
                raise UserError(
                    f"--buffer-size {config.buffer_size * RANKS.size} holds less than one sequence of every "
                    f"environment (--burn-in and --sequence-length): expected at least {needed * RANKS.size}"
                )
        replay = self.buffer(Replay if config.her == "no" else HindsightReplay, self.random_action(self.mask_here)[1])
        if self.on_gpu:
            replay.single = self.obs_norm.single
        return replay

    def buffer(self, kind: type[Replay], action: Tensor, runs: int = 1) -> Replay:
        """Room for what so many runs of these settings remember; `action` [k, ...] shows what one looks like."""
        config, count = self.config, self.env.num_envs
        sizes = (config.buffer_size * runs, count * runs, self.env.obs_space, action, self.device)
        options = {"n_step": config.n_step, "gamma": config.gamma, "frame_stack": self.env.frame_stack}
        options |= {"state_dim": self.state_dim, "prioritized": config.prioritized}
        if config.her == "no":
            return kind(*sizes, record=config.capture == "auto", **options)
        options |= {"rule": self._relabel, "strategy": config.her, "share": config.her_share}
        return kind(*sizes, record=False, **options)

    def _relabel(self, achieved: Tensor, desired: Tensor) -> tuple[Tensor, Tensor]:
        """What VectorEnv.relabel says, the reward as it is learned from."""
        reward, over = self.env.relabel(achieved, desired)
        return self.config.learned_reward(reward), over

    @property
    def mask_here(self) -> Tensor | None:
        """The actions allowed now, where the policy is."""
        mask = self.env.mask
        return None if mask is None else self.here(mask)

    @cached_property
    def history(self) -> ReplayHistory | RankedHistory | None:
        if self.config.data:
            return None
        own = ReplayHistory(self.replay)
        return own if RANKS.size == 1 else RankedHistory(own)

    def _begin_replay(self) -> Any:
        obs = super()._begin_replay()
        if not self.config.data:
            self.replay.begin(obs, self.env.mask)
        return obs

    def _explore_at(self, obs: Any, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept = self.obs, self.state, self.reset
        self.obs, self.state, self.reset = obs, state, reset
        try:
            return self.explore()
        finally:
            self.obs, self.state, self.reset = kept

    def collect(self) -> dict[str, float] | None:
        before = self.steps
        scalars = super().collect() if self.config.data else self._act_on()
        self.moved(before, self.targets)
        return scalars if scalars is None or self.config.data else scalars | self.exploring()

    def exploring(self) -> dict[str, float]:
        """Scalars of how it acts now, under their tags."""
        return {}

    def _act_on(self) -> dict[str, float] | None:
        rewards, learned, dones, valids, acted = [], [], [], [], []
        with torch.inference_mode():
            while self.collected < self.config.train_every and not (rewards and self.interrupted()):
                self.collected += 1
                self.about_to_act()
                acts = self.env.acts
                if self.on_gpu and self.env.mask is None:  # a graph would go on with the mask that it was made with
                    action, stored, state = self.recorded["acting"](self.obs, self.state, self.reset)
                elif acts is None and self.script is not None:
                    drawn, mask = self.chances(), self.env.mask
                    way = (*drawn, *[norm.idle for norm in self.norms])
                    inputs = (self.obs, drawn) if mask is None else (self.obs, drawn, mask)
                    (action, stored), state = self.script(*inputs, way=way), self.state
                else:
                    action, stored, state = self.explore()
                if self.steps < self.learning_starts:
                    action, stored = self.random_action(self.mask_here)
                step = self._single(self.env.step(action))
                reward = self.config.learned_reward(step.reward)
                before, found = self.state if self.state_dim else None, step._replace(reward=reward)
                if acts is None:
                    self.replay.add(stored, found, before)
                else:
                    self.waiting.add(self.replay, stored, found, before, acts, self.env.acts)
                if self.config.normalize_obs or self.steps < self.learning_starts or self.looks():
                    self.obs_norm.update(self.here(step.final_obs))
                done = step.terminated | step.truncated
                if step.info:
                    self.infos.add(step.info, done)
                rewards.append(step.reward)
                learned.append(reward)
                dones.append(done)
                acted += [] if acts is None else [acts]
                self.obs, self.state, self.reset = (
                    step.obs,
                    held(acts, state, self.state),
                    starts(acts, done, self.reset),
                )
                if step.valid is None:
                    self.steps += RANKS.size * (self.env.num_envs // self.env.members)
                else:
                    valids.append(step.valid)
                    self.reset = self.reset | ~step.valid
                    self.steps += RANKS.total(int(step.valid.sum())) // self.env.members
        if not rewards:  # a round of updates goes on
            return self.episode_scalars(self.episodes.none())
        valid = torch.stack(valids) if valids else None
        reward, done = (part[0].unsqueeze(0) if len(part) == 1 else torch.stack(part) for part in (rewards, dones))
        if self.config.normalize_returns != "no":
            self.unmeasured.append((torch.stack(learned), done))
            self.rows_unmeasured += len(rewards)
            if self.time_to_measure() and self.collected == self.config.train_every:
                self.measure()
        finished = self.episodes.update(reward, done, valid, torch.stack(acted) if acted else None)
        scalars = self.episode_scalars(finished)
        return scalars if self.collected == self.config.train_every else None

    def looks(self) -> bool:
        """In one of SELDOM steps: whether the observation is measured."""
        return self.steps // (self.env.num_envs * RANKS.size) % SELDOM == 0

    def time_to_measure(self) -> bool:
        """Whether enough rewards wait for `measure`, or learning is about to begin."""
        return self.rows_unmeasured >= TOGETHER or (self.updates == 0 and self.steps >= self.learning_starts)

    def measure(self) -> None:
        """Let `return_scale` take in what has been collected since the last time."""
        if self.unmeasured:
            self.return_scale.update(*(self.here(torch.cat(parts)) for parts in zip(*self.unmeasured, strict=True)))
            self.unmeasured, self.rows_unmeasured = [], 0
        super().measure()

    def _single(self, step: Step) -> Step:
        """The step with observations as they are stored; on a GPU the buffer sees to it."""
        if self.on_gpu:
            return step
        obs = final_obs = self.obs_norm.single(step.obs)
        if step.final_obs is not step.obs:
            final_obs = self.obs_norm.single(step.final_obs)
        return step._replace(obs=obs, final_obs=final_obs)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"unmeasured": self._unmeasured(), "waiting": self.waiting.state_dict()}

    def _unmeasured(self) -> list[Tensor]:
        """Rewards and ends [T, B], T perhaps 0."""
        nothing = self.reset.new_zeros(0, self.env.num_envs)
        parts = [(nothing.float(), nothing), *self.unmeasured]
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    def load_state_dict(self, state: dict) -> None:
        self.unmeasured = []  # what it holds is of before
        super().load_state_dict(state)
        if "waiting" in state:  # runs of one agent had none
            self.waiting.load_state_dict(state["waiting"])
        there = self.env.device
        self.rows_unmeasured = len(state["unmeasured"][0])
        self.unmeasured = [tuple(x.to(there) for x in state["unmeasured"])] if self.rows_unmeasured else []
        if not self.goes_on and not self.config.data:
            self._begin_replay()
