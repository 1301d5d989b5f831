"""Scores of an agent in the course of its training and at its end: what is played, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from agent_gym.envs.vector import EnvFailure, VectorEnv
from agent_gym.ground.chance import undisturbed
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.training.evaluation import Watch, episode_limit, play
from agent_gym.training.loop import Moment
from agent_gym.training.periodic import FEWEST, SPARING, note, plan
from agent_gym.training.score import Score, bootstrap_interval, shown
from agent_gym.training.session import Conclusion

MANY = 20  # environments that a periodic evaluation has
SAMPLED = 20  # episodes with sampled actions where those of the training tell another story


@dataclass
class Scorer:
    """Plays an agent in environments that are made once for the whole run, or in its own where there are no others."""

    name: str
    config: Any
    source: Any
    agent: Any
    report: Callable[[Any], None]
    """Told of every failure of an environment."""
    envs: dict[tuple[int, bool], VectorEnv] = field(default_factory=dict)
    """By their number and whether they are for the final score."""

    def score(
        self, episodes: int, rows: int, seed: int, watch: Watch, *, explore: bool, budget: int = 0, final: bool = True
    ) -> Score:
        """Raises Interrupted and UserError, see `play`. The agent's training draws nothing from what is played."""
        agent, longest = self.agent, self.agent.facts()["longest_episode"]
        limit = episode_limit(self.config.eval_max_steps, self.source.step_limit, longest)
        env = self._env(min(rows, episodes), final, watch)
        drawn = torch.get_rng_state()  # Stable-Baselines3 draws from the global generator
        options = {"seed": seed, "explore": explore, "max_steps": limit, "budget": budget, "watch": watch}
        try:
            with undisturbed():
                return play(agent.policy, env, episodes, **options)
        finally:
            torch.set_rng_state(drawn)
            if self.source.shared:
                agent.begin_again()

    def _env(self, rows: int, final: bool, watch: Watch) -> VectorEnv:
        """Its own environments, or those of the training where there can be no others."""
        most = self.source.at_once
        if self.source.shared or most >= MANY:
            return self._made(rows, final, watch)
        rows = min(rows, most)  # they may be dear: one lot serves every score
        lot = self._made(max(rows, min(most, self.config.eval_episodes)), final, watch)
        if lot is self.agent.env or lot.num_envs == rows * lot.members:
            return lot
        if (some := lot.part(rows)) is None:
            return self._made(rows, final, watch)
        self.envs[rows, False] = some
        return some

    def _made(self, rows: int, final: bool, watch: Watch) -> VectorEnv:
        """So many, made the first time."""
        if self.source.shared:
            return self.agent.env
        key = (rows, final and self.source.native)
        if key not in self.envs:
            try:
                self.envs[key] = self.source.scoring(rows, self.agent.device, self.report, final=final)
            except UserError as error:
                if self.source.handed_over or self.config.eval_env != "auto":
                    raise
                watch.say(f"scores are played in the environments of the training (--eval-env shared): {error}")
                self.source.shared = True
                return self.agent.env
            self.envs[key].recovery.whose = "of the evaluation"
        return self.envs[key]

    def evaluate(self, moment: Moment) -> tuple[float, dict[str, float]] | None:
        """In the course of training; None where it is left out."""
        config, agent = self.config, self.agent
        if (own := agent.assess()) is not None:
            return own
        planned = plan(
            moment.clock,
            moment.step,
            agent.episode_length,
            config.periodic_eval_episodes,
            always=config.periodic_eval_episodes > 0 or config.eval_every != "auto",
            last=moment.last,
        )
        if planned is None or (planned.budget and planned.episodes < 2 * FEWEST):
            moment.watch.say(SPARING)
        if planned is None:
            return None
        try:
            result = self.score(
                planned.episodes,
                planned.rows,
                config.seed,
                moment.watch,
                explore=self.source.samples,
                budget=planned.budget,
                final=False,
            )
        except EnvFailure:  # it is to stop
            raise
        except UserError as error:  # nothing came to its end; the training itself may go on
            moment.watch.say(f"no score at step {moment.step:,}: {error}")
            return None
        note(moment.clock, result)
        mean = float(result.returns.mean())
        scalars = {"eval/episode_return": mean, "eval/episode_length": float(result.lengths.mean())}
        return mean, scalars | {f"eval/{name}": value for name, value in result.success_rate.items()}

    def conclude(self, moment: Moment) -> Conclusion:
        """The final evaluation."""
        config, clock = self.config, moment.clock
        result = self.score(
            config.eval_episodes, self.source.at_once, EVAL_SEED, moment.watch, explore=self.source.samples
        )
        fields = {"env": self.source.id, "agent": self.name} | result.summary()
        evaluated = clock["last_step"] == moment.step
        last = clock["last"] if evaluated else self.training_mean()
        last = math.nan if self.agent.assesses else last
        fields["last_return_mean"] = None if math.isnan(last) else last
        lines = [result.text(), *result.notes()]
        if clock["best_step"] != moment.step:
            where = f"its last evaluation, where the best had {shown(clock['best'])}" if evaluated else "training"
            told = "" if math.isnan(last) else f", last {shown(last)} in {where}"
            lines.insert(1, f"best (step {clock['best_step']:,}) {shown(fields['return_mean'])}{told}")
        if (sampled := self.sampled(result, moment.watch)) is not None:
            lo, hi = bootstrap_interval(sampled.returns)
            fields |= {"sampled_return_mean": float(sampled.returns.mean()), "sampled_return_ci95": [lo, hi]}
            lines.append(
                f"with sampled actions, as in training: {shown(sampled.returns.mean())} (95 % interval {shown(lo)} to "
                f"{shown(hi)}); evaluate.py --stochastic plays so"
            )
        return Conclusion(fields, "final/episode_return", fields["return_mean"], "\n".join(lines))

    def training_mean(self) -> float:
        """The mean return of the latest episodes in training; NaN without any."""
        window = self.agent.window
        return float(window[0].mean()) if window.numel() else math.nan

    def sampled(self, greedy: Score, watch: Watch) -> Score | None:
        """The score with sampled actions where it is another one than `greedy`, beyond both intervals."""
        window = self.agent.window[0].numpy()
        if self.source.samples or len(window) < FEWEST or not apart(window, greedy.returns):
            return None
        episodes = min(SAMPLED, self.config.eval_episodes)
        score = self.score(episodes, self.source.at_once, EVAL_SEED, watch, explore=True)
        return score if apart(score.returns, greedy.returns) else None


def apart(returns: Any, others: Any) -> bool:
    """Whether the 95 % intervals of two means do not touch."""
    (a, b), (c, d) = bootstrap_interval(returns), bootstrap_interval(others)
    return b < c or d < a
