"""A callback that logs a scalar of its own and stops the run once it is good enough."""

from agent_gym import PPO


class GoodEnough:
    def on_evaluation(self, run):
        score = run.scalars["eval/episode_return"]
        run.log({"mine/missing": 500.0 - score})
        if score >= 400.0:
            print(f"good enough at step {run.steps:,}")
            run.stop()


PPO("CartPole-v1", seed=0).learn(100_000, callbacks=[GoodEnough()])
