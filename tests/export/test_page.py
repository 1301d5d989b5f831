"""The page of examples/browser in a real browser, beside Gymnasium's CartPole and the policy itself."""

import functools
import html
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from agent_gym.agents.ppo import PPO
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.envs.make import make_env
from agent_gym.export.acting import Acting
from agent_gym.export.exported import ExportedPolicy
from agent_gym.export.files import write_graph

PAGE = Path(__file__).parents[2] / "examples" / "browser"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START = [0.01, -0.02, 0.03, 0.04]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.skipif(not (PAGE / "node_modules" / "onnxruntime-web").exists(), reason="npm install in examples/browser")
def test_the_page_plays_as_the_policy_does(tmp_path):
    torch.manual_seed(3)
    agent = PPO(PPOConfig(hidden_sizes=(16,), num_envs=8, num_steps=64, total_steps=4096), make_env("CartPole-v1", 8))
    agent.begin()
    while agent.steps < 4096:
        agent.collect()
        agent.update()
    for file in PAGE.iterdir():
        (tmp_path / file.name).symlink_to(file)
    env = gymnasium.make("CartPole-v1")
    write_graph(Acting(agent.policy, env.observation_space, env.action_space), tmp_path / "policy.onnx", {})
    policy, steps, over = ExportedPolicy(tmp_path / "policy.onnx"), 0, False
    env.reset(seed=0)
    env.unwrapped.state = obs = np.array(START)
    while not over:
        action = int(policy.predict(obs.astype(np.float32))[0])
        obs, _, terminated, truncated, _ = env.step(action)
        steps, over = steps + 1, terminated or truncated
    assert steps > 20  # it has learned something, so that its actions follow the pole

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/index.html?start={','.join(map(str, START))}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=100000", "--dump-dom"]
        done = subprocess.run([BROWSER, *flags, address], capture_output=True, text=True, check=True, timeout=300)
    finally:
        server.shutdown()
    told = html.unescape(re.search(r'<p id="told">(.*?)</p>', done.stdout, re.S)[1])
    found = json.loads(told)
    assert found["steps"] == steps
    np.testing.assert_allclose(found["state"], env.unwrapped.state, atol=1e-6)
