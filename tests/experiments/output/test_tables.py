"""Tables are Markdown that lines up as plain text too."""

from experiments.output.tables import bullets, lettered, markdown, shown, two_columns


def test_markdown():
    rows = [{"method": "vae", "test": -1234.567}, {"method": "rem_v1", "test": None, "more": 1}]
    assert markdown(rows, ["method", "test"]).splitlines() == [
        "| method | test      |",
        "| ------ | --------- |",
        "| vae    | -1,234.57 |",
        "| rem_v1 | -         |",
    ]


def test_two_columns():
    assert two_columns(
        {"epochs": 3, "ess": 2.5, "seed": 0}, ["ess", "epochs", "kl"]
    ).splitlines() == [
        "|        | value |",
        "| ------ | ----- |",
        "| ess    | 2.50  |",
        "| epochs | 3     |",
        "| kl     | -     |",
    ]


def test_shown():
    assert [shown(value) for value in (None, 3, 3.0, "x")] == ["-", "3", "3.00", "x"]


def test_zero_has_no_sign():
    values = (-0.0, -0.004, 0.004, -0.006, -1234.5)
    assert [shown(value) for value in values] == ["0.00", "0.00", "0.00", "-0.01", "-1,234.50"]


def test_remarks_on_the_same_rows_share_a_letter():
    letters, lines = lettered([["x", "y", "w"], ["y", "z", "x"], ["y", "x"]])
    assert letters == ["a", "b", ""]
    assert lines == ["all rows: x; y", "a: w", "b: z"]
    letters, lines = lettered([["x"], ["x", "y"], ["y", "x", "z", "z", "v"]])
    assert letters == ["", "a", "a, b"]
    assert lines == ["all rows: x", "a: y", "b: z; v"]


def test_no_remarks_and_many():
    assert lettered([[], []]) == (["", ""], [])
    letters, lines = lettered([[str(row)] for row in range(28)])
    assert letters[24:] == ["y", "z", "aa", "ab"]
    assert lines[-1] == "ab: 27"


def test_bullets_fit_a_page():
    text = bullets(["a: " + "word " * 40, "b: short"])
    assert max(map(len, text.splitlines())) <= 110
    assert text.splitlines()[1].startswith("  word")
    assert text.endswith("- b: short")
