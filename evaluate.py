"""Score, watch or record a trained run: python evaluate.py runs/x [--json] [--watch] [--video out.mp4]."""

import sys

from agent_gym.commands.playing.evaluate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
