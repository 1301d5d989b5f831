"""CSV and IDX files from strangers: read, or refused with one line; never more memory than the file accounts for."""

import bz2
import gzip
import itertools
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.learner import NonFiniteError
from agent_gym.tasks.senses.idx import IMAGES, LABELS, read_idx
from agent_gym.tasks.series.series import Series
from agent_gym.tasks.series.settings import SeriesConfig
from agent_gym.tasks.tables.cells import numbers
from agent_gym.tasks.tables.reading.frames import MAX_COLUMNS, read_table
from agent_gym.tasks.tables.settings import TableConfig
from agent_gym.tasks.tables.table import Table

REFUSALS = (UserError, NonFiniteError, UserError)
FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
ODD_CELLS = ["", "?", "nan", "-inf", "1e400", "-1e308", "9" * 25, "9" * 5000, "18446744073709551615", "0x10", "1,5"]
ODD_CELLS += ["-", "1.234,5", "$1", "12 kg", "3%", "(4)", "13:05", "31.01.2020", "1 2", "a b", "#", "sep=;"]
ODD_CELLS += ["é", "\0", '"', '"x\ny"', '"a""b"', "\t", "True", "2020-01-01", "x" * 300, "\r", "😀", "None", ";"]


def numeric_cell():
    return st.floats(-1e3, 1e3).map("{:.3f}".format)


@st.composite
def tables(draw) -> bytes:
    """A table as CSV, sometimes whole, more often with odd cells, odd names or damaged bytes."""
    kinds = draw(st.lists(st.sampled_from(["number", "class", "odd"]), min_size=1, max_size=4))
    cells = {"number": numeric_cell(), "class": st.sampled_from("uvw"), "odd": st.sampled_from(ODD_CELLS)}
    names = [draw(st.sampled_from(["a", "b", "a ", "", '"q,r"', "é"])) + str(i) * (i % 3) for i in range(len(kinds))]
    rows = draw(st.integers(0, 30))
    pattern = [[draw(cells[kind]) for kind in kinds] for _ in range(min(rows, 6))]
    lines = [[*names, "y"], *([*row, str(i % 2)] for i, row in zip(range(rows), itertools.cycle(pattern or [[]])))]
    lines = [*draw(st.lists(st.sampled_from([["sep=,"], ["# x"], ["#"], [""]]), max_size=2)), *lines]
    separator = draw(st.sampled_from([",", ";", "\t", "|", " "]))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(map(separator.join, lines))
    data = text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp949"])), "replace")
    pack = draw(st.sampled_from([bytes, bytes, bytes, gzip.compress, bz2.compress]))
    return damaged(draw, pack(data))


def damaged(draw, data: bytes) -> bytes:
    """The same with a few bytes cut, flipped, doubled or put in, or as it was."""
    for kind in draw(st.lists(st.sampled_from(["cut", "flip", "double", "insert"]), max_size=2)):
        at = draw(st.integers(0, len(data)))
        if kind == "cut":
            data = data[:at]
        elif kind == "double":
            data = data[:at] + data[at // 2 :]
        elif kind == "insert":
            data = data[:at] + draw(st.sampled_from([b"\0", b'"', b"\xff", b"\n", b",", b"\xef\xbb\xbf"])) + data[at:]
        elif at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
    return data


def learned_or_refused(make) -> None:
    """Build a task, learn and score; a refusal is one line of printable text."""
    try:
        task = make()
        task.collect()
        task.update()
        task.evaluate()
        task.report(task.test())
    except REFUSALS as error:
        assert str(error) and str(error).isprintable()


@pytest.mark.filterwarnings("error")
@settings(FUZZ, max_examples=80)
@given(data=tables(), kind=st.sampled_from(["auto", "auto", "regression", "multiclass"]), scaled=st.booleans())
@example(b"y\n" + b"9" * 5000 + b"\n1\n2\n", "auto", True)
@example(b"a,y\n1," + b"9" * 400 + b"\n2,1\n3,2\n", "regression", False)
@example(b"y,y \n1,2\n2,1\n", "auto", True)  # the same name once the blank is gone
@example(b"y,a\n1,2,3\n2,1,3\n", "auto", True)  # more cells than names
def test_any_table(tmp_path, data, kind, scaled):
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    flags = {"epochs": 1, "quiet": True, "hidden_sizes": (4,), "scaler": "standard" if scaled else "none"}
    learned_or_refused(lambda: Table(TableConfig(data=str(path), target="y", kind=kind, **flags)))


@pytest.mark.filterwarnings("error")
@settings(FUZZ, max_examples=40)
@given(cells=st.lists(numeric_cell() | st.sampled_from(ODD_CELLS), max_size=30), data=st.data())
def test_any_series(tmp_path, cells, data):
    path = tmp_path / "data.csv"
    path.write_bytes(damaged(data.draw, "\n".join(["y", *cells]).encode()))
    flags = {"epochs": 1, "quiet": True, "window": 3, "encoder": "linear"}
    learned_or_refused(lambda: Series(SeriesConfig(data=str(path), **flags)))


def peak_of(function) -> int:
    """Bytes of Python and numpy at the highest, while `function` runs."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b",".join(b"%d" % i for i in range(MAX_COLUMNS + 1)) + b"\n1\n", "50,001 columns: expected at most 50,000"),
        (b'"\n' + b"x" * 200_000 + b'"\n1\n', "is no table"),
        (b",".join(b"%d" % i for i in range(2000)) + b"\n" + b"1\n" * 100_000, "rows that nearly all lack most"),
    ],
)
def test_a_table_that_declares_more_than_it_holds(tmp_path, data, message):
    path = tmp_path / "data.csv"
    path.write_bytes(data)

    def refused():
        with pytest.raises(UserError, match=message):
            read_table(path, quiet=True)

    assert peak_of(refused) < 3e8  # 2,000 columns of 100,000 rows would take 1.6e9


def test_rows_keep_their_cells_where_a_separator_ends_the_line(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2,\n3,4,\n")
    assert numbers(read_table(path, quiet=True), "a").tolist() == [1.0, 3.0]


@pytest.mark.parametrize(("cell", "good"), [("1e30", True), ("-1e30", True), ("1.01e30", False), ("9" * 31, False)])
def test_numbers_end_where_their_squares_would_not_be_finite(tmp_path, cell, good):
    path = tmp_path / "data.csv"
    path.write_text(f"a\n1\n{cell}\n")
    frame = read_table(path, quiet=True)
    if good:
        assert numbers(frame, "a")[1] == float(cell)
    else:
        with pytest.raises(UserError, match="column 'a' is numeric, but row 3 holds"):
            numbers(frame, "a")


def header(magic: int, *sizes: int) -> bytes:
    return magic.to_bytes(4, "big") + b"".join(size.to_bytes(4, "big") for size in sizes)


sizes = st.integers(0, 3) | st.sampled_from([2**16, 2**31, 2**32 - 1])


@settings(FUZZ, max_examples=120)
@given(
    magic=st.sampled_from([IMAGES, LABELS, 0x802, 0]) | st.integers(0, 2**32 - 1),
    shape=st.lists(sizes, min_size=1, max_size=3),
    body=st.binary(max_size=40),
    zipped=st.booleans(),
    data=st.data(),
)
@example(IMAGES, [2**31, 2**31, 4], b"", False, None)  # the product is 0 modulo 2^64
@example(IMAGES, [0, 28, 28], b"", True, None)
def test_any_idx_file(tmp_path, magic, shape, body, zipped, data):
    path = tmp_path / ("images.gz" if zipped else "images")
    content = header(magic, *shape) + body
    content = gzip.compress(content) if zipped else content
    path.write_bytes(content if data is None else damaged(data.draw, content))
    try:
        array = read_idx(path, IMAGES)
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert array.ndim == 3 and array.size > 0


def test_what_an_idx_file_declares_is_not_allocated(tmp_path):
    (tmp_path / "plain").write_bytes(header(IMAGES, 2**32 - 1, 28, 28) + bytes(1000))
    (tmp_path / "zipped.gz").write_bytes(gzip.compress(header(IMAGES, 2**32 - 1, 28, 28) + bytes(1000)))
    for name, message in (("plain", "truncated"), ("zipped.gz", "100 times its own size")):

        def refused(name=name, message=message):
            with pytest.raises(UserError, match=message):
                read_idx(tmp_path / name, IMAGES)

        assert peak_of(refused) < 1e7


@pytest.mark.parametrize(
    ("magic", "shape", "message"),
    [
        (LABELS, [100], "too long: over 108 bytes, where its header says 108"),
        (IMAGES, [250_000, 28, 28], "declares 196,000,000 bytes, 100 times its own size"),
    ],
)
def test_a_gzip_bomb(tmp_path, magic, shape, message):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header(magic, *shape))
        for _ in range(20):
            file.write(bytes(9_800_000))

    def refused():
        with pytest.raises(UserError, match=message):
            read_idx(path, magic)

    assert peak_of(refused) < 1e7


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "data.csv")
    os.mkfifo(tmp_path / "images.gz")
    for read in (
        lambda: read_table(tmp_path / "data.csv", quiet=True),
        lambda: read_idx(tmp_path / "images.gz", IMAGES),
    ):
        with pytest.raises(UserError, match="no such file"):
            read()


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "/dev/zero"])
def test_a_name_that_is_no_files(tmp_path, name):
    with pytest.raises(UserError):
        read_table(tmp_path / name, quiet=True)
    with pytest.raises(UserError):
        read_idx(tmp_path / name, IMAGES)


def test_windows_beyond_memory(tmp_path):
    with pytest.raises(UserError, match="too many numbers"):
        Series(SeriesConfig(num_series=10**12))
    path = tmp_path / "data.csv"
    path.write_text("y\n" + "\n".join(map(str, np.arange(2000.0))))
    with pytest.raises(UserError, match="too many numbers"):
        Series(SeriesConfig(data=str(path), window=900, horizon=900))
