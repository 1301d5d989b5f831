"""One torch thread for every test: small tensors gain nothing from more, and busy machines lose much."""

import pytest


def single() -> None:
    import torch  # here, since the process that hands tests out needs none

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def one_thread_from_the_start():
    single()


@pytest.fixture(autouse=True, scope="session")
def stable_baselines3_logs_elsewhere(tmp_path_factory):
    """Where it would make a folder of its own in the one for temporary files, for each model that learns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))
        yield


@pytest.fixture(autouse=True)
def one_thread():
    """A command that a test calls may take two."""
    yield
    single()
