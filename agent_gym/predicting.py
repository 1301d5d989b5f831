"""Actions for observations as environments give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agent_gym.envs.adapters.boundary.spaces import ObsLayout, action_decoder, map_obs
from agent_gym.ground.errors import UserError
from agent_gym.ground.spaces import KEY, Unfold, choices_of, flat_mask
from agent_gym.nets.learner.graphs import Replayed

NAN = "the observation holds NaN: expected numbers; look at what the environment or its reader gave"


class Predictor:
    """A policy behind the spaces of its environment: raw observations in, raw actions out.

    One observation gives one action, a batch of B (an axis in front of every array) a batch of them.
    """

    def __init__(self, policy: Any, raw_spaces: tuple[spaces.Space, spaces.Space], seed: int) -> None:
        self.policy, (self.obs_space, self.action_space) = policy, raw_spaces
        self.layout = ObsLayout(self.obs_space)
        self.generator = torch.Generator(policy.device).manual_seed(seed)
        self.unfold = Unfold(self.action_space)
        self.decoders: dict[int, Any] = {}
        space = self.obs_space
        self.hidden_mask = isinstance(space, spaces.Dict) and KEY not in space.spaces
        """Whether a mask in an observation is no part of what the policy sees."""
        self.start = int(self.action_space.start) if isinstance(self.action_space, spaces.Discrete) else None
        self.first = torch.ones(1, dtype=torch.bool, device=policy.device)
        self.later = torch.zeros(1, dtype=torch.bool, device=policy.device)
        self.empty = policy.initial_state(1)
        leaf = self.layout.leaves[0]
        self.plain = leaf if len(self.layout.leaves) == 1 and leaf.path == () and leaf.dtype == np.float32 else None
        policy.eval()
        policy.requires_grad_(False)
        self.quick: Replayed | None = None  # one plain observation, no memory, nothing drawn: what programs ask most
        if self.plain is not None and not policy.state_dim and getattr(policy.config, "capture", "no") == "auto":
            self.quick = Replayed(lambda x: policy.act(x, self.empty, self.first)[0])

    def predict(
        self, obs: Any, state: Any, episode_start: Any, deterministic: bool, action_masks: Any = None
    ) -> tuple[Any, Any]:
        """See agent_gym.agent.Agent.predict. Raises UserError for an observation of another shape or type."""
        plain = self.plain
        if action_masks is None and isinstance(obs, dict) and self.hidden_mask:
            action_masks = obs.get(KEY)
        if (
            plain is not None
            and action_masks is None
            and type(obs) is np.ndarray
            and obs.shape == plain.raw_shape
            and obs.dtype == np.float32
        ):
            if np.isnan(obs).any():
                raise UserError(NAN)
            tensor, batched = torch.from_numpy(obs.reshape(1, *plain.shape)), False
            if self.quick is not None and deterministic:
                return self._single(self.quick(tensor)), None
        else:
            tensor, batched = self._tensors(obs)
        count = 1 if not batched else _length(tensor)
        memory, reset = self._memory(state, episode_start, count)
        action, memory, _ = self.policy.act(
            *(tensor, memory, reset, self._mask(action_masks, count)),
            explore=not deterministic,
            generator=None if deterministic else self.generator,
        )
        state = memory.cpu().numpy() if self.policy.state_dim else None
        return (self._decoded(action, count, batched=True) if batched else self._single(action)), state

    def _single(self, action: Tensor) -> Any:
        """One action [1, ...] as the environment takes it."""
        if self.start is not None:
            return int(action) + self.start
        return self._decoded(action, 1, batched=False)

    def _decoded(self, action: Tensor, count: int, batched: bool) -> Any:
        if count not in self.decoders:
            self.decoders[count] = action_decoder(self.action_space, count)
        decoded = self.decoders[count](action)
        return self.unfold(decoded) if batched else self.unfold(decoded[0])

    def _mask(self, masks: Any, count: int) -> Tensor | None:
        """Masks as a program has them, one or one an observation, as [count, n]. Raises UserError."""
        if masks is None:
            return None
        sizes = choices_of(self.action_space)
        rows = [masks] if count == 1 and len(masks) != 1 else list(masks)
        if not sizes or len(rows) not in (1, count):
            raise UserError(
                f"action_masks for {len(rows)} observations: expected {count}, for actions that are counted"
            )
        try:
            flat = np.stack([flat_mask(row, self.action_space, sizes) for row in rows])
        except ValueError as error:
            raise UserError(f"action_masks: {error}") from None
        if not flat.any(axis=1).all():
            raise UserError("action_masks allows no action: expected at least one")
        return torch.from_numpy(flat).to(self.policy.device).expand(count, -1)

    def inspect(self, obs: Any, state: Any, episode_start: Any) -> dict[str, np.ndarray]:
        """What the policy shows of itself, without the batch's axis for one observation."""
        tensor, batched = self._tensors(obs)
        seen = self.policy.inspect(tensor, *self._memory(state, episode_start, _length(tensor)))
        arrays = {name: part.cpu().numpy() for name, part in seen.items()}
        return arrays if batched else {name: part[0] for name, part in arrays.items()}

    def _memory(self, state: Any, episode_start: Any, count: int) -> tuple[Tensor, Tensor]:
        """The memory [count, state_dim] and whether an episode starts, [count]."""
        if state is None:
            memory = self.empty if count == 1 else self.policy.initial_state(count)
            reset = self.first if count == 1 else self.first.expand(count)
        else:
            memory = torch.as_tensor(np.asarray(state, np.float32)).to(self.first.device)
            if memory.shape != (count, self.policy.state_dim):
                wanted = (count, self.policy.state_dim)
                raise UserError(f"state of shape {tuple(memory.shape)}: expected {wanted}, as predict gave it")
            reset = self.later if count == 1 else self.later.expand(count)
        if episode_start is not None:
            starts = torch.as_tensor(np.asarray(episode_start, np.bool_)).to(self.first.device)
            if starts.numel() not in (1, count):
                raise UserError(f"episode_start of {starts.numel()} values for {count} observations: expected one each")
            reset = reset | starts.flatten()
        return memory, reset

    def _tensors(self, obs: Any) -> tuple[Any, bool]:
        """The observations [B, ...] on the policy's device, and whether they came as a batch. Raises UserError."""
        for lead in self._leads(obs):
            try:
                arrays = [leaf.take(obs, lead, copy=True) for leaf in self.layout.leaves]
            except ValueError as error:
                raise UserError(f"{error}: expected {self.obs_space}, or a batch of it") from None
            if any(array.dtype.kind == "f" and np.isnan(array).any() for array in arrays):
                raise UserError(NAN)
            arrays = arrays if lead else [array[None] for array in arrays]
            on_device = map_obs(lambda part: part.to(self.policy.device), self.layout.tensors(arrays))
            return on_device, bool(lead)
        raise UserError(
            f"the observation is {_describe(obs)}: expected {self.obs_space}, or a batch of it with an axis in front"
        )

    def _leads(self, obs: Any) -> list[tuple[int, ...]]:
        """The leading axes with which the observation fits its space."""
        leaf = self.layout.leaves[0]
        value = obs
        try:
            for key in leaf.path:
                value = value[key]
            shape = np.shape(value)
        except (KeyError, IndexError, TypeError, ValueError):
            if leaf.convert is None:
                return []
            shape = ()
        if leaf.convert is not None:  # text and other things that are no array
            try:
                leaf.take(obs)
            except ValueError:
                return [(len(value),)] if isinstance(value, list | tuple | np.ndarray) and len(value) else []
            return [()]
        rank = len(leaf.raw_shape)
        if shape == leaf.raw_shape:
            return [()]
        return [shape[:1]] if len(shape) == rank + 1 and shape[1:] == leaf.raw_shape and shape[0] else []


def _length(obs: Any) -> int:
    return _length(next(iter(obs.values()))) if isinstance(obs, dict) else len(obs)


def _describe(obs: Any) -> str:
    shape = getattr(obs, "shape", None)
    return f"a {type(obs).__name__}" if shape is None else f"of shape {tuple(shape)}"
