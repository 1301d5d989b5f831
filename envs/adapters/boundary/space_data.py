"""Spaces as plain data, so that a policy can be opened where its environment is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agent_gym.envs.conventions.forms import is_text
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short

MAX_DEPTH = 8


def space_data(space: spaces.Space) -> dict:
    """A space as dicts, lists, numbers, strings and tensors. Raises UserError for kinds that no policy takes."""
    match space:
        case spaces.Box():
            low, high = (torch.from_numpy(np.ascontiguousarray(bound)) for bound in (space.low, space.high))
            if space.dtype.kind == "b" or space.dtype in (np.uint16, np.uint32, np.uint64):
                low, high = low.to(torch.int64), high.to(torch.int64)
            return {"kind": "Box", "low": low, "high": high, "dtype": space.dtype.name}
        case spaces.Discrete():
            return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            nvec, start = (torch.from_numpy(np.asarray(part, np.int64)) for part in (space.nvec, space.start))
            return {"kind": "MultiDiscrete", "nvec": nvec, "start": start, "dtype": space.dtype.name}
        case spaces.MultiBinary():
            return {"kind": "MultiBinary", "shape": list(space.shape)}
        case spaces.Text():
            bounds = {"min_length": space.min_length, "max_length": space.max_length}
            return {"kind": "Text", **bounds, "charset": "".join(sorted(space.character_set))}
        case spaces.Sequence():
            return {"kind": "Sequence", "part": space_data(space.feature_space), "stack": bool(space.stack)}
        case spaces.Graph():
            edges = None if space.edge_space is None else space_data(space.edge_space)
            return {"kind": "Graph", "nodes": space_data(space.node_space), "edges": edges}
        case spaces.OneOf():
            return {"kind": "OneOf", "parts": [space_data(part) for part in space.spaces]}
        case spaces.Dict():
            return {"kind": "Dict", "parts": {key: space_data(part) for key, part in space.spaces.items()}}
        case spaces.Tuple():
            return {"kind": "Tuple", "parts": [space_data(part) for part in space.spaces]}
    if is_text(space):  # a text of another kind
        return {"kind": "Text", "min_length": 0, "max_length": 10_000, "charset": "".join(map(chr, range(32, 127)))}
    raise UserError(f"the space {space} cannot be stored: wrap the environment so that it shows a Box or Discrete")


def make_space(data: Any, depth: int = 0) -> spaces.Space:
    """The space that `space_data` described. Raises UserError for anything else, which a stranger may have written."""
    try:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        match data["kind"]:
            case "Box":
                dtype = np.dtype(str(data["dtype"]))
                low, high = (data[bound].cpu().numpy().astype(dtype) for bound in ("low", "high"))
                return spaces.Box(low, high, dtype=dtype.type)
            case "Discrete":
                return spaces.Discrete(int(data["n"]), start=int(data["start"]))
            case "MultiDiscrete":
                dtype = np.dtype(str(data["dtype"]))
                return spaces.MultiDiscrete(data["nvec"].cpu().numpy(), dtype.type, start=data["start"].cpu().numpy())
            case "MultiBinary":
                shape = [int(size) for size in data["shape"]]
                return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
            case "Text":
                bounds = {"min_length": int(data["min_length"]), "charset": str(data["charset"])}
                return spaces.Text(int(data["max_length"]), **bounds)
            case "Sequence":
                return spaces.Sequence(make_space(data["part"], depth + 1), stack=bool(data["stack"]))
            case "Graph":
                edges = None if data["edges"] is None else make_space(data["edges"], depth + 1)
                return spaces.Graph(make_space(data["nodes"], depth + 1), edges)
            case "OneOf":
                return spaces.OneOf([make_space(part, depth + 1) for part in data["parts"]])
            case "Dict":
                return spaces.Dict({str(key): make_space(part, depth + 1) for key, part in data["parts"].items()})
            case "Tuple":
                return spaces.Tuple([make_space(part, depth + 1) for part in data["parts"]])
        raise ValueError(f"a space of kind {short(data['kind'])}")
    except UserError:
        raise
    except Exception as error:  # whatever a foreign file leads to
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"the stored spaces cannot be read ({reason}): use another checkpoint") from error
