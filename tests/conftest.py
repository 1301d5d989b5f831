"""One torch thread for every test: small tensors gain nothing from more, and busy machines lose much."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread():
    """A command that a test calls may take two."""
    yield
    torch.set_num_threads(1)
