"""Where experience comes from. Importing it registers the `AgentGym/…` environments with Gymnasium."""

import gymnasium

for _name, _limit in (("CartPole", 500), ("Pendulum", 200)):
    gymnasium.register(
        f"AgentGym/{_name}NoVel-v1", entry_point=f"envs.masked:{_name.lower()}_no_vel", max_episode_steps=_limit
    )
