"""Ragged batches have few numbers of rows, and hardly more rows than they need."""

from primase_server.models.product_rows import product_rows


def test_a_few_rows_are_run_as_they_are() -> None:
    assert [product_rows(n) for n in range(1, 17)] == list(range(1, 17))


def test_more_are_filled_up_by_an_eighth_at_most() -> None:
    assert [product_rows(n) for n in (17, 33, 65, 129, 257, 1000, 2050)] == [
        18,
        36,
        72,
        144,
        288,
        1024,
        2080,
    ]
    for n in range(1, 5000):
        assert n <= product_rows(n) <= n * 9 / 8


def test_there_are_few_numbers() -> None:
    assert len({product_rows(n) for n in range(1, 1025)}) == 72
