"""Where experience comes from. Importing it registers the `AgentGym/…` environments with Gymnasium."""

import gymnasium

from agent_gym.envs.native.boards import connect_four, go, hex, othello, tictactoe
from agent_gym.envs.native.boards.core import family
from agent_gym.envs.native.classic.acrobot import ACROBOT, ACROBOT_NO_VEL
from agent_gym.envs.native.classic.cartpole import CARTPOLE, CARTPOLE_NO_VEL
from agent_gym.envs.native.classic.mountain_car import MOUNTAIN_CAR
from agent_gym.envs.native.classic.mountain_car_continuous import MOUNTAIN_CAR_CONTINUOUS
from agent_gym.envs.native.classic.pendulum import PENDULUM, PENDULUM_NO_VEL
from agent_gym.envs.native.core import register, register_family
from agent_gym.envs.native.driving import DRIVING
from agent_gym.envs.native.minatar.asterix import ASTERIX
from agent_gym.envs.native.minatar.breakout import BREAKOUT
from agent_gym.envs.native.minatar.freeway import FREEWAY
from agent_gym.envs.native.minatar.seaquest import SEAQUEST
from agent_gym.envs.native.minatar.space_invaders import SPACE_INVADERS
from agent_gym.envs.native.obstacles import OBSTACLES
from agent_gym.envs.native.recommender import RECOMMENDER
from agent_gym.envs.native.repeat_previous import REPEAT_PREVIOUS
from agent_gym.envs.native.snake import SNAKE
from agent_gym.envs.native.tanks import TANKS
from agent_gym.envs.native.tmaze import TMAZE
from agent_gym.envs.native.touchstones.bit_flipping import BIT_FLIPPING
from agent_gym.envs.native.touchstones.follow_suit import FOLLOW_SUIT
from agent_gym.envs.native.touchstones.toolbox import TOOLBOX

# Evaluation of the masked environments is Gymnasium's own environment, masked.
for _core, _name in ((CARTPOLE_NO_VEL, "cartpole"), (PENDULUM_NO_VEL, "pendulum"), (ACROBOT_NO_VEL, "acrobot")):
    _entry = f"agent_gym.envs.adapters.masked:{_name}_no_vel"
    gymnasium.register(_core.id, entry_point=_entry, max_episode_steps=_core.max_episode_steps)
for _core in (
    *(CARTPOLE, ACROBOT, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS, PENDULUM),
    *(CARTPOLE_NO_VEL, PENDULUM_NO_VEL, ACROBOT_NO_VEL),
    *(SNAKE, OBSTACLES, DRIVING, RECOMMENDER, TANKS, TMAZE, REPEAT_PREVIOUS, FOLLOW_SUIT, BIT_FLIPPING, TOOLBOX),
    *(ASTERIX, BREAKOUT, FREEWAY, SEAQUEST, SPACE_INVADERS),
):
    register(_core)
for _game in (tictactoe, connect_four, othello, go, hex):
    register_family(family(_game.make))
