"""The vector-environment contract: what every source of experience gives to an agent."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import gymnasium
import torch
from torch import Tensor

from agent_gym.ground.errors import UserError

if TYPE_CHECKING:
    from agent_gym.envs.failures import Recovery
    from agent_gym.envs.games.game import Game

Obs: TypeAlias = "Tensor | dict[str, Obs]"

GROUP, OWN, STATE = "agents:group", "agents:own", "agents:state"
"""Parts of observations where many agents play: the group [B] of each row, whose own observation stands at `part_of`;
and in the place of an observation it and the global state, which a central critic sees."""


def part_of(group: int) -> str:
    """The key of a group's observations."""
    return f"agents:{group}"


class EnvFailure(UserError):
    """An environment raised, or returned something that is not a valid observation or reward, while running.

    Attributes: `env_id`; `index` of the environment in the vector, None where that is not known; `step`, the number
    of the vector step (0: at reset); `whose` environment it is if not one that is learned from; `reason`;
    `traceback`, the text of the environment's own traceback or ""; `log`, where that was written down, or "";
    `recurs`, whether it is sure to happen again as the environment is.
    """

    def __init__(self, env_id: str, index: int | None, step: int, reason: str, traceback: str = "", whose: str = ""):
        number = " ".join(part for part in ("" if index is None else f"number {index}", whose) if part)
        number = f" ({number})" if number else ""
        when = f"at step {step}" if step else "at reset"
        super().__init__(f"environment {env_id}{number} failed {when}: {reason}")
        self.env_id, self.index, self.step = env_id, index, step
        self.reason, self.traceback, self.log, self.recurs = reason, traceback, "", False

    def __str__(self) -> str:
        return super().__str__() + (f"; see {self.log}" if self.log else "")


def check_action(action: Tensor, env_id: str) -> None:
    """Raises UserError where an action holds NaN or infinity: no environment is to blame for that."""
    if action.is_floating_point() and not torch.isfinite(action).all():
        raise UserError(
            f"the agent's own action for {env_id} holds NaN or infinity, so its network has diverged: lower "
            "--learning-rate, set --max-grad-norm, or look at the size of observations and rewards"
        )


class Told(Mapping[str, Tensor]):
    """Scalars that environments tell: names, and a table [B, k] with a column for each, NaN where one told none."""

    def __init__(self, names: tuple[str, ...] = (), table: Tensor | None = None) -> None:
        self.names, self.table = names, table

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise KeyError(name)
        return self.table[:, self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def success(self) -> Tensor | None:
        """Whether the task was solved [B], by the names that environments have for it; None: they do not say."""
        return next((self[name] for name in ("is_success", "success") if name in self.names), None)


NOTHING = Told()


class Step(NamedTuple):
    """What one action of each of B environments led to.

    Environments reset in the step that ends their episode. `obs` is the observation to act on next: the first of
    the new episode where one ended. `final_obs` is the true successor of the action, to bootstrap from; it is the
    same object as `obs` when no episode ended. A time limit sets `truncated`, a real end `terminated`; both may be set.

    `valid[b]` is False where the action led nowhere: a vector environment that can only reset one step late swallowed
    it, or the environment failed and was replaced (envs.recovery). Such a transition is to be dropped, and its `obs`
    starts an episode. After a failure `truncated` is set as well and `final_obs` is the observation that was acted
    on, so that the steps before bootstrap from there. `valid` is None where neither can happen.

    `mask` holds the discrete actions that are allowed in `obs`, `final_mask` those in `final_obs`, the same object
    where no episode ended; a row of it without any is of an episode that has terminated. None: all are.

    No tensor in it is written to by later steps.
    """

    obs: Obs
    reward: Tensor  # [B] float32
    terminated: Tensor  # [B] bool
    truncated: Tensor  # [B] bool
    final_obs: Obs
    info: Mapping[str, Tensor]  # what environments tell of the action beside its reward: scalars, [B] each; see Told
    valid: Tensor | None = None  # [B] bool
    mask: Tensor | None = None  # [B, n] bool
    final_mask: Tensor | None = None  # [B, n] bool


def slow_step(envs: Iterable[VectorEnv], seconds: float) -> str:
    """Which environment has been in one step, or in one reset, for longer than this; "" if none."""
    now = time.monotonic()
    for env in envs:
        since = env.busy_since
        if since is not None and now - since > seconds:
            return f"{env.id}: one step of the environment (number {env.steps:,}) takes longer than {seconds:.0f} s"
    return ""


class VectorEnv(ABC):
    """B copies of one environment, stepped together, on tensors of one device.

    Observations are a tensor [B, ...] or a dict of such (see `spaces.canonical`). Actions: Discrete int64 [B],
    counted from 0; MultiDiscrete and MultiBinary int64 [B, n]; Box float32 [B, ...] within the bounds.
    """

    id: str
    num_envs: int
    obs_space: gymnasium.Space  # of one environment, canonical
    action_space: gymnasium.Space  # of one environment, canonical
    device: torch.device
    backend: str  # native | gymnasium | async | envpool
    mask: Tensor | None = None
    """After reset and step [B, n] bool: the actions allowed now, None: all. Of n choices for Discrete; MultiDiscrete
    has those of one part after those of another, MultiBinary 0 and 1 of one bit after those of another."""
    members: int = 1  # agents that play in each environment, a row each, side by side
    names: tuple[str, ...] = ()  # of these agents, where they have names
    acts: Tensor | None = None
    """[B] bool, after reset and step: rows whose action counts in the next step; the others wait, for their turn or
    for the end of the others. What a waiting row gets is the outcome of its action before. None: all act always."""
    over: Tensor | None = None  # [B / members] bool: where the step ended the episode of all members; None: of each row
    relabel: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """(goals achieved [N, ...], goals asked for) -> reward [N] and whether that ends the episode; None: unknown."""
    game: Game | None = None  # the rules, if it is a two-player game and its opponent is a part of the environment
    frame_stack: int = 1  # frames, newest last, in each uint8 image [frame_stack, H, W, ...] of an observation
    choice: str = ""  # why this backend, in words for the log
    outside: int = 0  # observations a little outside their space that were let pass
    recovery: Recovery  # what is done about failures, and how many there were
    steps: int = 0  # vector steps so far
    interrupted: Callable[[], bool] | None = None
    """Asked between two environments that are stepped one after the other; a step or reset that it ends raises
    Interrupted, and a reset is due. For those who play without learning."""
    busy_since: float | None = None  # time.monotonic() at the start of the step or reset that is running

    @property
    def raw_spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        """The spaces of observations and actions as one environment itself has them."""
        return self.obs_space, self.action_space

    @abstractmethod
    def reset(self, seed: int) -> Obs:
        """Start all episodes anew. The same seed and actions give the same experience."""

    @abstractmethod
    def step(self, action: Tensor) -> Step:
        """Act in all environments. Raises EnvFailure."""

    def move(self, device: torch.device) -> bool:
        """Before its first use: live on `device` from now on; False where it stays on the one that it has."""
        return torch.device(device) == self.device

    def check(self) -> None:  # noqa: B027  most look at every step
        """Raises EnvFailure for what earlier steps could not tell without waiting for a GPU. Call it once a rollout."""

    def scalars(self) -> dict[str, float]:
        """What it tells of its latest episodes beside return and length, under full tags."""
        return {}

    def shown(self) -> list[int]:
        """Of each environment the row that spectators see."""
        return list(range(self.num_envs))

    def learned(self, policy: Any) -> None:  # noqa: B027  most have no opponents that learn
        """Told of the policy at the start and after each of its updates."""

    def begin_again(self, rows: list[int], seed: int) -> Obs | None:
        """New episodes in these environments alone; all current observations, or None where that cannot be."""
        return None

    def part(self, rows: int) -> VectorEnv | None:
        """The first `rows` of its environments as a vector of their own, not to be used in turns within an episode.

        None where they cannot be had apart.
        """
        return None

    saving: str = ""
    """How a resumed run gets the running episodes back, in words; "": it begins new ones."""

    def settle(self) -> None:  # noqa: B027  most are always ready
        """Called at each checkpoint: the environments may prepare to be saved at less cost, cutting no episode."""

    def state_dict(self) -> dict[str, Any] | None:
        """Everything needed to go on exactly from here; None where the environments cannot be saved."""
        return None

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Go on from there; False where the environments do not get there: reset them then."""
        return False

    def close(self) -> None:  # noqa: B027  most have nothing to give back
        """Give back processes, windows and memory; may be called twice."""


class TensorEnv(VectorEnv):
    """One whose steps are operations on tensors alone, so that many of them can be one graph on a GPU."""

    @abstractmethod
    def tensors(self) -> dict[str, Obs] | None:
        """What each step puts in new tensors; None where more than tensors is looked at in each."""

    @abstractmethod
    def put(self, tensors: dict[str, Obs]) -> None:
        """Go on from what `tensors` gave, in these tensors."""

    @abstractmethod
    def changed(self) -> list[Tensor]:
        """What each step changes in place."""

    @property
    @abstractmethod
    def generators(self) -> list[torch.Generator]:
        """What steps draw from."""
