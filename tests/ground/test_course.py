"""Where schedules stand after the end of a run has moved, against numbers derived by hand."""

import pytest

from agent_gym.ground.course import Course


def moved(then: int, now: int, steps: int, over: str) -> tuple[Course, str]:
    course = Course(now)
    return course, course.load_state_dict(Course(then).state_dict(), steps, over)


def test_the_rest_goes_on_from_where_it_was():
    course, line = moved(100, 200, 50, "rest")  # half done, 150 steps left for the other half
    assert course(50) == pytest.approx(0.5) and course(125) == pytest.approx(0.75) and course(200) == 1.0
    assert "50% of their way, over the 150 steps left" in line
    again = Course(200)
    assert again.load_state_dict(course.state_dict(), 125, "rest") == "" and again(125) == pytest.approx(0.75)


def test_what_has_come_to_its_end_stays_there():
    course, line = moved(100, 200, 100, "rest")
    assert course(100) == course(150) == 1.0 and "stay there; --schedule-over whole" in line


def test_the_whole_is_spread_anew_and_says_so():
    course, line = moved(100, 200, 100, "whole")
    assert course(100) == 0.5 and course(150) == 0.75 and "go back from 100% to 50%" in line


def test_the_same_end_changes_nothing():
    course, line = moved(100, 100, 30, "rest")
    assert line == "" and course(30) == pytest.approx(0.3)


def test_no_possible_course():
    with pytest.raises(ValueError, match="its progress is none"):
        Course(10).load_state_dict({"total": 5, "start": 0, "done": 7.0}, 3, "rest")
