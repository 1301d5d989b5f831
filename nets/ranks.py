"""The processes that train one run together (torchrun), each on environments or rows of its own.

Alone, unless `RANKS.join` was called: everything here then gives back what it is given.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.errors import UserError, one_line

PATIENCE = timedelta(days=7)  # a final evaluation may take long; a rank that has ended is noticed at once
ALIKE = timedelta(seconds=3)  # within which ranks end that end for one reason
ASKED_FOR = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets


def launched() -> int:
    """How many processes torchrun has started for this run; 0: it has not started this one."""
    if any(name not in os.environ for name in ASKED_FOR):
        return 0
    try:
        return int(os.environ["WORLD_SIZE"])
    except ValueError:
        raise UserError(f"WORLD_SIZE={os.environ['WORLD_SIZE']!r} in the environment: expected a number") from None


class Ranks:
    """What the ranks of a run do together. Every rank has to come by, in the same order.

    Raises UserError where another rank has ended.
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        self.weight = 1.0
        """Of this rank's gradients: its share of the rows, times the number of ranks."""

    def join(self) -> None:
        """Meet the other processes that torchrun has started."""
        import torch.distributed as dist

        with self._together():
            self.store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
            dist.init_process_group(store=self.store, rank=rank, world_size=size, timeout=PATIENCE)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())

    def leave(self) -> None:
        """Alone again."""
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()
        self.rank, self.size = 0, 1

    def end_alike(self, line: str) -> bool:
        """Whether every rank ends with this line, as where all refuse the same setting: one of them is enough then."""
        try:
            self.store.set(f"end/{self.rank}", line)
            said = self._asked("end")
            self.store.set(f"read/{self.rank}", "")
            self._asked("read")  # the store may end with the first rank, which stays until all have read
        except RuntimeError:  # others go on, or are gone
            return False
        return all(other == line.encode() for other in said)

    def _asked(self, what: str) -> list[bytes]:
        """What each rank has put down."""
        names = [f"{what}/{rank}" for rank in range(self.size)]
        self.store.wait(names, ALIKE)
        return [self.store.get(name) for name in names]

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            reason = one_line(error, 300).rpartition("] ")[2][:120]  # behind the place in gloo's own source
            raise UserError(
                f"rank {os.environ.get('RANK', self.rank)}: another rank of this run has ended or cannot be reached "
                f"({reason}): all stop; go on with --resume from the latest checkpoint"
            ) from error

    def _reduced(self, x: Tensor, how: str) -> Tensor:
        import torch.distributed as dist

        with self._together():
            dist.all_reduce(x, getattr(dist.ReduceOp, how))
        return x

    def seed(self, *parts: int) -> tuple[int, ...]:
        """What a generator of this rank is seeded with: on the first rank as in a run alone."""
        return (*parts, self.rank) if self.rank else parts

    def share(self, count: int, what: str) -> int:
        """This rank's part of `count`. Raises UserError where it cannot be shared out evenly."""
        if count < self.size:
            raise UserError(f"{what} {count} on {self.size} ranks: expected at least one for each")
        if count % self.size:
            raise UserError(f"{what} {count} on {self.size} ranks: expected a multiple of {self.size}")
        return count // self.size

    def rows(self, count: int) -> slice:
        """This rank's part of a minibatch of `count` rows, whose weight its next gradient gets."""
        edges = [count * r // self.size for r in (self.rank, self.rank + 1)]
        if count < self.size:  # all take all
            self.weight = 1.0
            return slice(0, count)
        self.weight = (edges[1] - edges[0]) * self.size / count
        return slice(*edges)

    def mean_(self, x: Tensor) -> Tensor:
        """The mean over ranks, in place."""
        return x if self.size == 1 else self._reduced(x, "SUM").div_(self.size)

    def gradient_(self, x: Tensor) -> Tensor:
        """The mean over ranks of a gradient by rows, in place."""
        return x if self.size == 1 else self.mean_(x if self.weight == 1.0 else x.mul_(self.weight))

    def largest(self, *numbers: float) -> list[float]:
        """Of each number the largest of all ranks."""
        if self.size == 1:
            return list(numbers)
        return self._reduced(torch.tensor(numbers, dtype=torch.float64), "MAX").tolist()

    def total(self, number: int) -> int:
        """The sum over ranks."""
        return number if self.size == 1 else int(self._reduced(torch.tensor(number), "SUM"))

    def moments(self, count: int, mean: Tensor, var: Tensor) -> tuple[int, Tensor, Tensor]:
        """Number, mean and variance (over the number) of the samples of all ranks, from those of this one."""
        if self.size == 1:
            return count, mean, var
        if count == 0:
            mean, var = torch.zeros_like(mean), torch.zeros_like(var)
        whole = self.total(count)
        if whole == 0:
            return 0, mean, var
        share = count / whole
        middle = self._reduced(mean * share, "SUM")
        return whole, middle, self._reduced((var + (mean - middle).square()) * share, "SUM")

    def union(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance over as many samples of each rank, from those of this one."""
        if self.size == 1:
            return mean, var
        middle = self.mean_(mean.clone())
        return middle, self.mean_(var + (mean - middle).square())

    def first(self, number: float) -> float:
        """The first rank's number."""
        if self.size == 1:
            return number
        return float(self.first_(torch.tensor(number, dtype=torch.float64)))

    def first_(self, x: Tensor) -> Tensor:
        """The first rank's tensor, in place."""
        if self.size > 1:
            import torch.distributed as dist

            with self._together():
                dist.broadcast(x, 0)
        return x

    def gathered(self, data: bytes) -> list[bytes]:
        """On the first rank what each has given, in order; nothing elsewhere."""
        if self.size == 1:
            return [data]
        import torch.distributed as dist

        mine = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        sizes = [torch.zeros((), dtype=torch.int64) for _ in range(self.size)]
        with self._together():
            dist.all_gather(sizes, torch.tensor(len(data)))
        longest = int(max(sizes))
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(mine)] = mine
        parts = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)] if self.rank == 0 else None
        with self._together():
            dist.gather(padded, parts)
        return [bytes(p[:n].numpy()) for p, n in zip(parts, map(int, sizes), strict=True)] if parts else []

    def of_others(self, part: Any) -> list[Any]:
        """On the first rank what each of the others has given, plain data and tensors on the CPU; nothing elsewhere."""
        buffer = io.BytesIO()
        torch.save(part, buffer)
        given = map(io.BytesIO, self.gathered(buffer.getvalue())[1:])
        return [torch.load(data, map_location="cpu", weights_only=True) for data in given]

    def wait(self) -> None:
        """Until all are here."""
        self.total(0)


RANKS = Ranks()
"""Those of this process."""
