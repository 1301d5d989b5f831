"""A policy of board games to watch."""

import torch


class Lowest:
    """Takes the first legal action and says what it thinks: a value of 0.25, and `visits` [1, n], or more of each
    legal action the lower it is."""

    state_dim = 0

    def __init__(self, visits=None):
        self.visits = visits

    def initial_state(self, count):
        return torch.zeros(count, 0)

    def act(self, obs, state, reset, mask):
        return mask.int().argmax(1), state, {}

    def inspect(self, obs, state, reset, mask):
        visits = mask.float() * torch.arange(mask.shape[1], 0, -1) if self.visits is None else self.visits
        return {"value": torch.tensor([0.25]), "probs": visits / visits.sum(), "visits": visits}
