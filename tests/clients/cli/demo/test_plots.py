import pytest

from primase.cli.demo.plots import bar, braille, columns


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0, ""), (0.125, "▌"), (0.5, "██"), (0.6, "██▍"), (1, "████"), (3, "████"), (-1, "")],
)
def test_a_bar_is_drawn_in_eighths(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def test_columns_stand_on_a_line() -> None:
    assert columns([4, 2, 1, 0.5, 0], 2) == ["█    ", "██▄▂ "]


def test_columns_hang_from_it_too() -> None:
    assert columns([2, -0.25, -0.5, -1, -1.5], 2) == ["█    ", "█    ", " ▔▀██", "    ▀"]


def test_columns_of_nothing_but_what_hangs() -> None:
    assert columns([-0.0, -1.0], 1) == ["  ", " █", " █"]


def test_dots_are_where_they_should_be() -> None:
    assert braille([(0, 0), (3, 1), (0, 2), (4, 0)], 6) == ["⢁⠁⠀", "⠁⠀⠀"]
    assert braille([(row, column) for row in range(4) for column in range(2)], 4)[0] == "⣿⠀"
