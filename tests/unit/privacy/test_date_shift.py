"""Dates are found in the common forms and moved without changing how they are written."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.privacy.date_shift import find_dates, shift_dates, shift_partial_date


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("on 2024-05-20T10:00:00Z", "on 2024-06-10T10:00:00Z"),
        ("on 5/20/24,", "on 6/10/24,"),
        ("on 05/20/2024.", "on 06/10/2024."),
        ("on 20.12.2024", "on 10.01.2025"),
        ("May 20th, 2024", "June 10th, 2024"),
        ("20 DEC 2024", "10 JAN 2025"),
        ("sept 5", "sep 26"),
        ("the 1st of May 2024", "the 22nd of May 2024"),
        ('{"dob": "1990-04-05"}', '{"dob": "1990-04-26"}'),
        ("2 Feb 88", "23 Feb 88"),
        ("due Feb 29", "due Mar 21"),
        ("29.02.2024", "21.03.2024"),
        ("15 Dec '99.", "5 Jan '00."),
        ("on 5 May 20 guests", "on 26 May 20 guests"),
        ("Feb 8 2024", "Feb 29 2024"),
    ],
)
def test_forms_are_kept(text: str, moved: str) -> None:
    assert shift_dates(text, 21) == moved


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3",
        "10.0.0.1",
        "15:00:00",
        "2024-13-40",
        "HAT-2024-01-0",
        "May I come",
        "march on",
        "12/13",
        "1/2/3/4",
        "98765",
    ],
)
def test_other_numbers_are_no_dates(text: str) -> None:
    assert find_dates(text) == [] and shift_dates(text, 21) == text


@pytest.mark.parametrize(
    ("text", "n_days", "moved"),
    [
        ("19840229", 7, "19840307"),
        ("October 1983", 7, "November 1983"),
        ("Jan. 1983", -90, "Oct. 1982"),
        ("12/1999", 60, "02/2000"),
        ("1999-12", 60, "2000-02"),
        ("19841332", 7, None),
        ("99/1999", 7, None),
        ("spring 1983", 7, None),
    ],
)
def test_parts_of_dates_move_by_a_month_at_least(text: str, n_days: int, moved: str | None) -> None:
    assert shift_partial_date(text, n_days) == moved


def test_only_some_days_move() -> None:
    assert shift_dates("2024-01-01 and 1990-04-05", 7, {date(1990, 4, 5)}) == "2024-01-01 and 1990-04-12"


days = st.dates(min_value=date(1930, 1, 1), max_value=date(2090, 1, 1))


@given(
    day=days,
    n_days=st.integers(-200, 200),
    form=st.sampled_from(["%Y-%m-%d", "%m/%d/%Y", "%B %d, %Y", "%d %B %Y"]),
)
def test_a_moved_date_is_the_date_moved(day: date, n_days: int, form: str) -> None:
    (found,) = find_dates(shift_dates(f"x {day.strftime(form)} y", n_days))
    assert found.day == day + timedelta(days=n_days)


@given(st.text(max_size=60))
def test_moving_by_nothing_changes_no_day(text: str) -> None:
    assert [f.day for f in find_dates(shift_dates(text, 0))] == [f.day for f in find_dates(text)]
