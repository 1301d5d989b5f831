from pathlib import Path

import pandas as pd
import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def csv(tmp_path):
    """Write rows (a dict of columns, or text) to a CSV file and give its path."""

    def write(content, name="data.csv") -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        else:
            pd.DataFrame(content).to_csv(path, index=False)
        return path

    return write
