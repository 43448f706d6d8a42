"""Data sets as arrays in [0, 1], from the files under which they are published.

`load(name)` finds the files in a data directory or downloads them, checks them, and remembers the
parsed arrays; `check_rows` holds a user's own data against what a likelihood takes;
`remjax.data.binarization` turns grey pixels into the bits that a step trains on.
"""

from remjax.data.checks import check_rows
from remjax.data.dataset import Dataset, check_images
from remjax.data.loaders import NAMES, load

__all__ = ["NAMES", "Dataset", "check_images", "check_rows", "load"]
