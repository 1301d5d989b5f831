"""Who plays where: in the seats of environments of many agents, across a board, before spectators."""
