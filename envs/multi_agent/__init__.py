"""Environments of many agents (PettingZoo): as one joint environment, as rows of agents, as one agent among others."""
