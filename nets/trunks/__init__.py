"""What stands between inputs and heads in place of plain dense layers, by name."""

from agent_gym.nets.trunks.dropped import Dropped
from agent_gym.nets.trunks.renormalised import Renormalised
from agent_gym.nets.trunks.residual import Residual

TRUNKS = {"renormalised": Renormalised, "residual": Residual, "dropped": Dropped}
"""Built as TRUNKS[name](in_dim, hidden_sizes, activation, num): [..., in_dim] -> [..., out_dim], or, for an ensemble of
`num` networks, [num, B, in_dim] -> [num, B, out_dim]."""
