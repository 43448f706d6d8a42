"""A user's own rows as a data set, and the way back to the units of the table."""

import numpy as np
import pytest

from remjax.data import Table, from_arrays, one_hot
from remjax.data.tables import as_they_are, categorical, standardized
from remjax.errors import InputError

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(50, 3)) * [1.0, 100.0, 1e-3] + [0.0, 5000.0, 1.0]


def test_rows_are_split_and_all_there():
    dataset = from_arrays(ROWS, test_fraction=0.2, split_seed=3)
    assert (dataset.train.shape, dataset.test.shape) == ((40, 3), (10, 3))
    both = np.concatenate([dataset.train, dataset.test])
    order = np.argsort(both[:, 0])
    np.testing.assert_allclose(both[order], ROWS[np.argsort(ROWS[:, 0])], rtol=1e-6)
    again = from_arrays(ROWS, test_fraction=0.2, split_seed=3)
    np.testing.assert_array_equal(again.train, dataset.train)
    assert not np.array_equal(from_arrays(ROWS, test_fraction=0.2).train, dataset.train)
    assert dataset.real_valued
    assert not dataset.binary
    assert dataset.image_shape == (1, 3)
    assert dataset.source == "arrays, 40 train and 10 test split by seed 3"


def test_standardized_columns_come_back():
    """By the moments of the training rows alone; far from zero no digit is lost on the way."""
    far = ROWS + np.array([0.0, 1e9, 0.0])
    dataset = from_arrays(far, names=("a", "b", "c"), preparation=standardized)
    np.testing.assert_allclose(dataset.train.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(dataset.train.std(axis=0), 1.0, rtol=1e-5)
    back = dataset.columns.to_table(dataset.test)
    assert back.names == ("a", "b", "c")
    found = back.values[np.argsort(back.values[:, 0])]
    rows = far[np.isin(far[:, 0].round(5), found[:, 0].round(5))]
    np.testing.assert_allclose(found, rows[np.argsort(rows[:, 0])], rtol=1e-6, atol=1e-5)


def test_bits_and_images_are_known():
    assert from_arrays(RNG.integers(0, 2, (20, 4))).binary
    grey = from_arrays(RNG.integers(0, 256, (20, 3, 2), dtype=np.uint8))
    assert (grey.image_shape, grey.real_valued) == ((3, 2), False)
    assert grey.train.max() <= 1.0
    assert from_arrays(RNG.normal(size=(20, 3, 2))).real_valued


def test_categories_are_one_hot_and_come_back():
    table = Table(
        ("colour", "n"),
        np.array([[1, 7], [0, 3], [np.nan, 7], [1, np.nan]]),
        {"colour": ("blue", "red")},
    )
    columns = categorical([table])
    assert columns.model_names == ("colour=blue", "colour=red", "n=3", "n=7")
    x = columns.to_model(table)
    gap = np.nan
    expected = [[0, 1, 0, 1], [1, 0, 1, 0], [gap, gap, 0, 1], [0, 1, gap, gap]]
    np.testing.assert_array_equal(x, expected)
    back = columns.to_table(np.where(np.isnan(x), [0.4, 0.6, 0.9, 0.1], x))
    np.testing.assert_array_equal(back.values, [[1, 7], [0, 3], [1, 7], [1, 3]])
    assert back.levels == table.levels
    np.testing.assert_array_equal(columns.to_table(x).values, table.values)


def test_other_rows_are_found_by_the_names_of_their_columns():
    columns = standardized([Table(("a", "b"), ROWS[:, :2])])
    moved = Table(("b", "more", "a"), ROWS[:, [1, 2, 0]])
    expected = columns.to_model(Table(("a", "b"), ROWS[:, :2]))
    np.testing.assert_array_equal(columns.to_model(moved), expected)
    with pytest.raises(InputError, match=r"^there is no column 'a': the columns are b$"):
        columns.to_model(Table(("b",), ROWS[:, 1:2]))
    other = Table(("a",), np.array([[2.0]]))
    with pytest.raises(InputError, match=r"^row 0 holds 2 in column 'a', whose categories are"):
        categorical([Table(("a",), np.array([[0.0], [1.0]]))]).to_model(other)


def test_one_hot():
    np.testing.assert_array_equal(
        one_hot(np.array([[0, 2], [1, 0]]), (2, 3)), [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
    )
    with pytest.raises(InputError, match=r"^row 1 holds 2 in column '0', whose categories are"):
        one_hot(np.array([[0], [2]]), (2,))
    with pytest.raises(InputError, match=r"^codes have the shape \(3,\) for 1 variables"):
        one_hot(np.zeros(3), (2,))


def test_missing_values_are_named_or_kept():
    holes = ROWS.copy()
    holes[[3, 7, 9, 11, 20, 30], 1] = np.nan
    with pytest.raises(InputError, match=r"^values are missing in rows 3, 7, 9, 11, 20 and 1 more"):
        from_arrays(holes)
    dataset = from_arrays(holes, missing=True)
    assert np.isnan(dataset.train).sum() + np.isnan(dataset.test).sum() == 6
    standard = from_arrays(holes, missing=True, preparation=standardized)
    np.testing.assert_allclose(np.nanstd(standard.train, axis=0), 1.0, rtol=1e-5)
    holes[:, 1] = np.nan
    with pytest.raises(InputError, match=r"^column 'column_1' has no values to train on"):
        from_arrays(holes, missing=True)


def test_a_constant_column_is_data():
    rows = np.column_stack([ROWS, np.full(50, 3.0)])
    assert from_arrays(rows, preparation=standardized).train[:, 3].tolist() == [0.0] * 45


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": np.zeros(3)}, r"an array of shape \(3,\)"),
        ({"train": np.zeros((3, 2), complex)}, "an array of shape .* type complex128"),
        ({"train": ROWS[:1]}, "a table of 1 rows"),
        ({"train": ROWS, "test_fraction": 0.0}, "the test fraction is 0.0"),
        ({"train": ROWS, "names": ("a",)}, "1 names for 3 columns"),
        ({"train": np.where(ROWS > 0, np.inf, 0)}, "row 0 holds inf"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InputError, match=f"^{message}"):
        from_arrays(**arguments)
    with pytest.raises(InputError, match=r"^column 'a' holds the text 'x'"):
        as_they_are([Table(("a",), np.zeros((2, 1)), {"a": ("x",)})])
