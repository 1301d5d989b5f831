"""Where experience comes from. Importing it registers the `AgentGym/…` environments with Gymnasium."""

import gymnasium

from envs.acrobot import ACROBOT, ACROBOT_NO_VEL
from envs.cartpole import CARTPOLE, CARTPOLE_NO_VEL
from envs.driving import DRIVING
from envs.mountain_car import MOUNTAIN_CAR
from envs.mountain_car_continuous import MOUNTAIN_CAR_CONTINUOUS
from envs.native import register
from envs.obstacles import OBSTACLES
from envs.pendulum import PENDULUM, PENDULUM_NO_VEL
from envs.recommender import RECOMMENDER
from envs.repeat_previous import REPEAT_PREVIOUS
from envs.snake import SNAKE
from envs.tanks import TANKS
from envs.tmaze import TMAZE

# Evaluation of the masked environments is Gymnasium's own environment, masked.
for _core, _name in ((CARTPOLE_NO_VEL, "cartpole"), (PENDULUM_NO_VEL, "pendulum"), (ACROBOT_NO_VEL, "acrobot")):
    gymnasium.register(_core.id, entry_point=f"envs.masked:{_name}_no_vel", max_episode_steps=_core.max_episode_steps)
for _core in (
    *(CARTPOLE, ACROBOT, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS, PENDULUM),
    *(CARTPOLE_NO_VEL, PENDULUM_NO_VEL, ACROBOT_NO_VEL),
    *(SNAKE, OBSTACLES, DRIVING, RECOMMENDER, TANKS, TMAZE, REPEAT_PREVIOUS),
):
    register(_core)
