"""The batched tree search beside one written out for a single game, and what it finds."""

import math

import pytest
import torch
from positions import CPU, follow, walk

from agent_gym.envs.games.game import RESULT, TURN, outcome
from agent_gym.envs.games.search import SearchConfig, dirichlet, improve, puct, search, uct
from agent_gym.envs.native.boards import connect_four, go, tictactoe

GENERATOR = torch.Generator().manual_seed(0)


def opinion(game):
    """An evaluation that is a fixed function of what is seen: any numbers will do."""
    table = torch.randn(game.num_planes * math.prod(game.board), game.num_actions + 1, generator=GENERATOR)

    def evaluate(state, legal):
        # summed cell by cell, so that a batch rounds like a single position
        seen = game.observe(state).flatten(1).double()
        out = (seen.unsqueeze(2) * table.double()).sum(1).float()
        return out[:, :-1], (0.3 * out[:, -1]).tanh()

    return evaluate


class Node:
    """A node of the reference: one game, Python numbers."""

    def __init__(self, game, state, evaluate):
        self.state, self.turn = state, state[TURN].item()
        logits, value = evaluate(state, game.mask(state))
        self.over = state[RESULT].item() != 0
        self.value = outcome(state)[self.turn, 0].item() if self.over else value.item()
        legal = game.mask(state)[0]
        prior = logits[0].masked_fill(~legal, -1e9).softmax(0)
        self.edges = {a: [0, 0.0, prior[a].item(), None] for a in legal.nonzero().flatten().tolist()}

    def best(self, c):
        total = sum(visits for visits, *_ in self.edges.values())
        mean = sum(sums for _, sums, *_ in self.edges.values()) / max(total, 1)

        def worth(action):
            visits, sums, prior, _ = self.edges[action]
            q = sums / visits if visits else mean
            return q + c * prior * math.sqrt(max(total, 1)) / (1 + visits)

        return max(self.edges, key=worth)


def reference(game, state, evaluate, simulations, c):
    root = Node(game, state, evaluate)
    for _ in range(simulations):
        node, path = root, []
        while True:
            action = node.best(c)
            path.append((node, action))
            child = node.edges[action][3]
            if child is None or child.over:
                break
            node = child
        if child is None:
            child = node.edges[action][3] = Node(game, game.play(node.state, torch.tensor([action])), evaluate)
        for parent, action in path:
            parent.edges[action][0] += 1
            parent.edges[action][1] += child.value if parent.turn == child.turn else -child.value
    return root


@pytest.mark.parametrize("make", [tictactoe.make, connect_four.make, lambda: go.make(3)], ids=["ttt", "c4", "go"])
def test_every_tree_of_a_batch_is_the_tree_of_a_single_game(make):
    game = make()
    evaluate = opinion(game)
    state = torch.cat((game.initial(1, CPU), walk(game, 6, 3), walk(game, 6, 5)), 1)
    found = search(game, state, evaluate, SearchConfig(40), GENERATOR)
    for b in range(state.shape[1]):
        root = reference(game, state[:, b : b + 1], evaluate, 40, 1.5)
        for action in range(game.num_actions):
            visits, sums, prior, _ = root.edges.get(action, (0, 0.0, 0.0, None))
            assert found.visits[b, action] == visits
            assert found.values[b, action].item() == pytest.approx(sums / max(visits, 1), abs=1e-5)
            assert found.prior[b, action].item() == pytest.approx(prior, abs=1e-5)
        assert found.best[b] == max(root.edges, key=lambda action: root.edges[action][0] + root.edges[action][2])
    assert torch.equal(found.policy, found.visits / 40)


def nothing(state, legal):
    return torch.zeros(legal.shape), torch.zeros(len(legal))


@pytest.mark.parametrize("sampled", [0, 9])
@pytest.mark.parametrize(
    ("moves", "wanted"),
    [([0, 3, 1, 4], {2}), ([0, 3, 8, 4, 7], {5}), ([4, 0, 8, 5], {2, 6, 3}), ([0, 4, 1], {2})],
    ids=["win", "win as second", "fork or block", "block"],
)
def test_without_any_opinion_it_sees_wins_and_threats(sampled, moves, wanted):
    state = follow(tictactoe.make(), moves)
    found = search(tictactoe.make(), state, nothing, SearchConfig(300, sampled=sampled), GENERATOR)
    assert found.best.item() in wanted


def test_values_and_policy_of_a_position_won_by_one_move():
    found = search(tictactoe.make(), follow(tictactoe.make(), [0, 3, 1, 4]), nothing, SearchConfig(200), GENERATOR)
    assert found.values[0, 2] == 1.0 and found.value[0] > 0.7
    assert found.policy[0].sum().item() == pytest.approx(1.0) and found.policy[0, :2].sum() == 0


def test_only_what_the_caller_allows_is_played():
    game = tictactoe.make()
    legal = torch.zeros(1, 9, dtype=torch.bool)
    legal[0, [6, 8]] = True
    for sampled in (0, 4):
        found = search(
            game, follow(game, [0, 3, 1, 4]), nothing, SearchConfig(50, sampled=sampled), GENERATOR, legal=legal
        )
        assert found.best.item() in (6, 8) and found.policy[0, [6, 8]].sum().item() == pytest.approx(1.0)


def test_uct_tries_everything_once_and_then_by_the_formula():
    visits, sums = torch.tensor([[3.0, 0.0, 2.0]]), torch.tensor([[1.5, 0.0, -1.0]])
    assert uct(visits, sums, torch.zeros(1, 3)).argmax() == 1
    visits, sums = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.5, 0.2]])
    by_hand = [1.5 / 3 + 1.4 * math.sqrt(math.log(4) / 3), 0.2 + 1.4 * math.sqrt(math.log(4))]
    assert uct(visits, sums, torch.zeros(1, 2))[0].tolist() == pytest.approx(by_hand)


def test_puct_by_hand():
    visits, sums, prior = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.5, 0.0]]), torch.tensor([[0.6, 0.4]])
    by_hand = [0.5 + 1.5 * 0.6 * math.sqrt(3) / 4, 0.5 + 1.5 * 0.4 * math.sqrt(3)]
    assert puct(visits, sums, prior)[0].tolist() == pytest.approx(by_hand)


def test_the_improved_policy_by_hand():
    """Danihelka et al. 2022 with c_visit 50, c_scale 1, values from -1 to 1 halved."""
    logits, visits, sums = (
        torch.tensor([[0.1, 0.2, -0.3]]),
        torch.tensor([[2.0, 1.0, 0.0]]),
        torch.tensor([[1.0, -0.5, 0]]),
    )
    p = [math.exp(x) for x in (0.1, 0.2, -0.3)]
    completed = (p[0] * 0.5 + p[1] * -0.5) / (p[0] + p[1])
    raised = [math.exp(x + 52 / 2 * q) for x, q in zip((0.1, 0.2, -0.3), (0.5, -0.5, completed), strict=True)]
    assert improve(logits, visits, sums)[0].tolist() == pytest.approx([x / sum(raised) for x in raised], rel=1e-4)


def test_halving_shares_out_all_simulations_and_prefers_better_actions():
    """Every action leads to a value of its own: each is tried, the best again."""
    game, worth = connect_four.make(), torch.tensor([-0.9, -0.5, 0.8, 0.1, -0.2, 0.3, -0.7])

    def evaluate(state, legal):
        first = worth[(game.cells(state)[:, 5] == 1).int().argmax(1)]  # of the column with the first stone
        return torch.zeros(legal.shape), torch.where(state[TURN] == 0, first, -first)

    state = game.initial(8, CPU)
    found = search(game, state, evaluate, SearchConfig(14, sampled=7), GENERATOR)
    assert (found.visits.sum(1) == 14).all() and (found.best == 2).all()
    assert (found.policy.argmax(1) == 2).all()


def test_gumbel_noise_draws_first_actions_by_the_prior():
    """With one simulation, the action taken is a draw from the prior (the Gumbel-max trick)."""
    game, logits = connect_four.make(), torch.tensor([2.0, 1.0, 0.0, 0.0, 0.0, -1.0, -2.0])

    def evaluate(state, legal):
        return logits.expand(legal.shape), torch.zeros(len(legal))

    config = SearchConfig(1, sampled=4, perturb=True)
    found = search(game, game.initial(8000, CPU), evaluate, config, torch.Generator().manual_seed(3))
    share = torch.bincount(found.best, minlength=7) / 8000
    torch.testing.assert_close(share, logits.softmax(0), atol=0.02, rtol=0)


def test_dirichlet_noise_has_its_mean_and_variance():
    legal = torch.tensor([[True, True, False, True]]).expand(20_000, -1)
    noise = dirichlet(legal, 6.0, torch.Generator().manual_seed(1))
    assert (noise[:, 2] == 0).all()
    torch.testing.assert_close(noise.sum(1), torch.ones(20_000))
    alpha, total = 2.0, 6.0
    variance = alpha * (total - alpha) / (total**2 * (total + 1))
    assert noise[:, 0].mean().item() == pytest.approx(1 / 3, abs=0.01)
    assert noise[:, 0].var().item() == pytest.approx(variance, rel=0.05)
