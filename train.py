"""Train an agent or a supervised task: python train.py [NAME] [--flags]. Without arguments: PPO on CartPole-v1."""

import sys

from agent_gym.commands.line.messages import leave_until_ready

if __name__ == "__main__":
    leave_until_ready()

from agent_gym.commands.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
