"""Data sets as arrays in [0, 1], from the files under which they are published.

`load(name)` finds the files in a data directory or downloads them, checks them, and remembers the
parsed arrays; `from_arrays` and `from_file` make a data set of a user's own rows, and `check_rows`
holds them against what a likelihood takes;
`remjax.data.binarization` turns grey pixels into the bits that a step trains on.
"""

from remjax.data.checks import check_rows
from remjax.data.dataset import Dataset, check_images
from remjax.data.loaders import NAMES, load
from remjax.data.own import from_arrays, from_file
from remjax.data.tables import Columns, Table, one_hot
from remjax.data.values import ValueFacts, value_facts

__all__ = [
    "NAMES",
    "Columns",
    "Dataset",
    "Table",
    "ValueFacts",
    "check_images",
    "check_rows",
    "from_arrays",
    "from_file",
    "load",
    "one_hot",
    "value_facts",
]
