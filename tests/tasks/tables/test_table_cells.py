"""Numbers and dates as people write them, against values worked out by hand and Python's own datetime."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from agent_gym.ground.errors import UserError
from agent_gym.tasks.tables.cells import number_format, numbers
from agent_gym.tasks.tables.dates import date_form, dates


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["0,126", "-0,132", "7"], [0.126, -0.132, 7.0]),
        (["1,257.10", "946.49"], [1257.10, 946.49]),
        (["1.234,5", "2", "1.000.000"], [1234.5, 2.0, 1e6]),
        (["1,234", "2,345,678"], [1234.0, 2345678.0]),
        (["1 234,5", "7\u202f000"], [1234.5, 7000.0]),
        (["1'234.5", "3"], [1234.5, 3.0]),
        (["12%", "3.5 %"], [12.0, 3.5]),
        (["$1,200", "-$5", "($2.50)"], [1200.0, -5.0, -2.5]),
        (["12,50 €", "1.000,00 €"], [12.5, 1000.0]),
        (["₩1,000", "2,000원"], [1000.0, 2000.0]),
        (["USD 5", "7.5"], [5.0, 7.5]),
        (["12 kg", "3.5 kg"], [12.0, 3.5]),
        (["1e3", "-", "n/a", "2"], [1000.0, np.nan, np.nan, 2.0]),
    ],
)
def test_numbers_as_people_write_them(cells, values):
    found = numbers(pd.DataFrame({"x": cells}), "x")
    assert number_format(pd.Series(cells)) and np.array_equal(found, values, equal_nan=True)


@pytest.mark.parametrize(
    "cells",
    [["city1", "city2"], ["1st", "2nd"], ["a", "1"], ["2024-01-01"], ["12:30"], ["3 kg", "3 m"], ["1,2,3"], [None]],
)
def test_what_is_no_number(cells):
    assert number_format(pd.Series(cells, dtype="str")) == ""


def test_one_comma_and_three_digits_are_read_as_the_file_does():
    cells = pd.Series(["1,234", "5,678"])
    assert number_format(cells, ".") == "." and number_format(cells, ",") == ","
    assert numbers(pd.DataFrame({"x": cells}), "x", ",").tolist() == [1.234, 5.678]


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%d-%b-%y", "%b %d, %Y"]
    + ["%m/%d/%y %I:%M %p", "%Y년 %m월 %d일", "%B %Y", "%Y-%m-%dT%H:%M:%SZ", "%H:%M"],
)
def test_dates_as_people_write_them(form):
    cells = [datetime(2019 + i % 3, 1 + i % 12, 1 + 7 * i % 28, 5 * i % 24, i % 60).strftime(form) for i in range(40)]
    frame = pd.DataFrame({"day": [*cells, None]})
    found = dates(frame, "day", date_form(frame["day"]))
    assert found.tolist()[:-1] == [datetime.strptime(cell, form) for cell in cells] and pd.isna(found.iloc[-1])


def test_whole_numbers_of_eight_digits_are_dates_where_all_are():
    assert date_form(pd.Series([20240131, 20231201])) == "%Y%m%d"
    assert date_form(pd.Series([20240131, 20231301])) == ""


@pytest.mark.parametrize(
    "cells", [["a-1", "b-2"], ["010-1234-5678"], ["1.5", "2.5"], ["May be", "March on"], ["3/0", "1/2"]]
)
def test_what_is_no_date(cells):
    assert date_form(pd.Series(cells)) == ""


def test_a_cell_that_is_no_date_names_its_row():
    frame = pd.DataFrame({"day": ["2024-01-31"] * 20 + ["soon"]})
    with pytest.raises(UserError, match="holds dates, but row 22 holds 'soon': expected one like 2024-01-31"):
        dates(frame, "day", date_form(frame["day"]))
