"""Tables are Markdown that lines up as plain text too."""

from experiments.output.tables import markdown, shown, upright


def test_markdown():
    rows = [{"method": "vae", "test": -1234.567}, {"method": "rem_v1", "test": None, "more": 1}]
    assert markdown(rows, ["method", "test"]).splitlines() == [
        "| method | test      |",
        "| ------ | --------- |",
        "| vae    | -1,234.57 |",
        "| rem_v1 | -         |",
    ]


def test_upright():
    assert upright({"epochs": 3, "ess": 2.5, "seed": 0}, ["ess", "epochs", "kl"]).splitlines() == [
        "|        | value |",
        "| ------ | ----- |",
        "| ess    | 2.50  |",
        "| epochs | 3     |",
        "| kl     | -     |",
    ]


def test_shown():
    assert [shown(value) for value in (None, 3, 3.0, "x")] == ["-", "3", "3.00", "x"]
