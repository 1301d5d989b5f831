"""An LSTM layer over [T, B, ...] with resets inside the sequence, on PyTorch's own fused kernels.

oneDNN and cuDNN run a whole sequence in one call but know no resets. So a flush step is put in front of every
step that starts an episode: an additional input drives the gates i, f and o to exactly 0, and with them c and h.
Columns with fewer resets end with hold steps (i = 0, f = 1), which leave c as it is. Saturated gates have
gradient 0, so gradients stop at resets, too.
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

# cuDNN prefers weights in one block of memory; ours are put together for every call.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk of memory")

SATURATE = 3e4  # sigmoid is exactly 0 or 1 here; finite in float16


class Layout(NamedTuple):
    """Where the steps of [T, B] stand once flush and hold steps are added, [T', B]."""

    index: Tensor  # [T * B], row of each step in [T' * B]
    control: Tensor  # [T', B, 2], 1 for a flush step, 1 for a hold step

    def spread(self, x: Tensor) -> Tensor:
        """[T, B, n] -> [T', B, n], zeros at the added steps."""
        steps, batch = self.control.shape[:2]
        spread = x.new_zeros(steps * batch, x.shape[-1])
        return spread.index_copy(0, self.index, x.flatten(0, 1)).view(steps, batch, -1)

    def gather(self, x: Tensor) -> Tensor:
        """[T', B, n] -> [T, B, n], without the added steps."""
        return x.flatten(0, 1).index_select(0, self.index).view(-1, *x.shape[1:])

    def last(self, x: Tensor) -> Tensor:
        """[T', B, n] -> [B, n], each column at its last step."""
        return x.flatten(0, 1).index_select(0, self.index[-x.shape[1] :])


def make_layout(reset: Tensor, dtype: torch.dtype) -> Layout | None:
    """The layout for reset [T, B]; None if nothing is reset."""
    resets = reset.cumsum(0)
    # On a GPU the shape does not depend on the data, so that nobody waits and a graph can be made: any step may reset.
    most = len(reset) if reset.is_cuda else int(resets[-1].max())
    if most == 0:
        return None
    steps, batch = len(reset) + most, reset.shape[1]
    column = torch.arange(steps, device=reset.device).unsqueeze(1)
    place = resets + column[: len(reset)]
    added = torch.ones(steps, batch, dtype=torch.bool, device=reset.device).scatter_(0, place, False)
    hold = column > place[-1]
    control = torch.stack((added & ~hold, hold), dim=-1).to(dtype)
    index = place * batch + torch.arange(batch, device=reset.device)
    return Layout(index.flatten(), control)


def control_weights(size: int) -> Tensor:
    """[4 * size, 2]: what a flush and a hold step add to the gates i, f, g, o."""
    weights = torch.zeros(4, size, 2)
    weights[[0, 1, 3], :, 0] = -SATURATE
    weights[0, :, 1], weights[1, :, 1] = -SATURATE, SATURATE
    return weights.flatten(0, 1)
