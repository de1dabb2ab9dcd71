"""Dates as a person types them."""

from __future__ import annotations

from datetime import datetime

import click
import pytest
from click.testing import CliRunner

from ui.filter_options import Moment, narrowed


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2020", datetime(2020, 1, 1)),
        ("2020-05", datetime(2020, 5, 1)),
        ("2020-05-17", datetime(2020, 5, 17)),
        ("2020-05-17 13:45", datetime(2020, 5, 17, 13, 45)),
        ("2020-05-17T13:45:06", datetime(2020, 5, 17, 13, 45, 6)),
    ],
)
def test_a_date_is_the_moment_at_which_it_begins(typed: str, moment: datetime) -> None:
    assert Moment().convert(typed, None, None) == moment


@pytest.mark.parametrize("typed", ["", "May", "2020-13", "2020-02-30", "17.5.2020", "20"])
def test_what_is_no_date_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 2020, 2020-05 or 2020-05-17"):
        Moment().convert(typed, None, None)


def test_a_narrowed_command_gets_what_a_filter_takes() -> None:
    @click.command()
    @narrowed
    def look(**where: object) -> None: ...

    given: dict[str, object] = {}
    look.callback = lambda **where: given.update(where)
    assert CliRunner().invoke(look, ["--folder", "f", "--after", "2020", "--camera", "leica"]).exit_code == 0
    assert given == {"folder": "f", "after": datetime(2020, 1, 1), "before": None, "camera": "leica"}
