"""The settings of what makes things. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from agent_gym.ground.settings import NOT_NEGATIVE, POSITIVE, Count, Range
from agent_gym.tasks.config import StudyConfig


@dataclass(frozen=True)
class GeneratorConfig(StudyConfig):
    """Flags common to all that make things."""

    data: str = "ring"
    """What to make: ring, digits, or a folder with MNIST's files."""
    batch_size: Count = 128
    """Rows in a minibatch."""
    learning_rate: Annotated[float, POSITIVE] = 1e-3
    """Step size of Adam at the start."""
    width: Count = 256
    """Units of each hidden layer."""
    depth: Count = 3
    """Hidden layers."""


@dataclass(frozen=True)
class GanConfig(GeneratorConfig):
    """GAN: a generator and a discriminator learn against each other, by two Learners in one run; digits take about a
    minute and a half."""

    latent_size: Count = 32
    """Random numbers that the generator starts from."""
    components: Count = 40
    """Principal components by which images are described to both networks."""
    penalty: Annotated[float, NOT_NEGATIVE] = 0.3
    """Weight of the discriminator's squared slope, which keeps the two in balance; 0: none (see what happens)."""
    noise: Annotated[float, POSITIVE] = 0.05
    """Deviation of the noise that blurs what the discriminator sees."""
    total_steps: int = 3000
    learning_rate: float = 5e-4
    """Step size of RMSprop at the start, for both; falls to zero."""


@dataclass(frozen=True)
class DiffusionConfig(GeneratorConfig):
    """Diffusion (DDPM): a network learns to take noise away; from pure noise it then makes something new."""

    data: str = "ring"
    """What to make: ring, gaussian (known in closed form), digits, or a folder with MNIST's files."""
    noise_steps: Annotated[int, Range(10, 10_000)] = 200
    """Steps from the data to pure noise, and back."""
    guess: Literal["auto", "noise", "data"] = "auto"
    """What the network puts out: the noise as in the paper, or the data, from which the noise follows; auto: the
    data for images, whose pixels hang together as noise does not."""
    total_steps: int = 3000
    learning_rate: float = 2e-3
    width: int = 128
