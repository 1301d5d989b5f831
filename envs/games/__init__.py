"""Two-player games: the contract, the tree search over any of them, players and matches."""
