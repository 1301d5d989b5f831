"""Where runs are trained: as processes of this machine, or on the nodes of a Ray cluster. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import NOT_NEGATIVE, Range, check_ranges

if TYPE_CHECKING:
    from agent_gym.many.pool import Pool


@dataclass(frozen=True)
class Engine:
    """Flags of whatever trains many runs."""

    engine: Literal["auto", "processes", "ray"] = "auto"
    """auto: on this machine, several seeds in one process where they can be one program; processes: one each; ray: on
    the nodes of a Ray cluster (extra `ray`)."""
    address: str = ""
    """Of the cluster: host:port, ray://host:port or auto; empty: $RAY_ADDRESS, else a cluster of this machine alone."""
    cpus_per_run: Annotated[float, Range(0.01, 1024)] = 1.0
    """Cores that Ray keeps for each run."""
    gpus_per_run: Annotated[float, NOT_NEGATIVE] = 0.0
    """GPUs, or a share of one, that Ray keeps for each run."""

    def checked(self) -> Engine:
        """Itself. Raises UserError for values out of range, flags without effect, a cluster that is not there."""
        check_ranges(self)
        if self.engine == "ray":
            from agent_gym.many.engines.ray_cluster import reach

            reach(self.address)
        if self.engine != "ray":
            for name, usual in (("address", ""), ("cpus_per_run", 1.0), ("gpus_per_run", 0.0)):
                if getattr(self, name) != usual:
                    raise UserError(f"--{name.replace('_', '-')} has an effect with --engine ray alone: add it")
        return self

    def pool(self) -> Pool:
        """What starts runs and listens to them. Raises UserError where there is no cluster."""
        if self.engine == "ray":
            from agent_gym.many.engines.ray_cluster import RayPool

            return RayPool(self.address, self.cpus_per_run, self.gpus_per_run)
        from agent_gym.many.pool import Pool

        return Pool()
