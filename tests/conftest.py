"""One torch thread for every test: small tensors gain nothing from more, and busy machines lose much."""

import pytest


def single() -> None:
    import torch  # here, since the process that hands tests out needs none

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def one_thread_from_the_start():
    single()


@pytest.fixture(autouse=True)
def one_thread():
    """A command that a test calls may take two."""
    yield
    single()
