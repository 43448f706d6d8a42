"""Files of a user that are wrong in one way each, and what a user is told of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def _numpy(array, save=np.save):
    import io

    buffer = io.BytesIO()
    save(buffer, array)
    return buffer.getvalue()


_TABLE = _numpy(np.arange(40.0).reshape(10, 4))

HOSTILE: Mapping[str, tuple[bytes, str]] = {
    "ragged.csv": (b"a,b\n1,2\n3\n5,6\n", "Expected 2 columns, got 1"),
    "text.csv": (b"a,b\n1,x\n3,y\n5,x\n", "column 'b' holds the text 'x'"),
    "comma.csv": (b'a,b\n"1,5",2\n"3,5",4\n', "column 'a' holds the text '1,5': write decimal"),
    "semicolon.csv": (b"a;b\n1,5;2\n3,5;4\n", "not separated by commas"),
    "tabs.csv": (b"a\tb\n1\t2\n3\t4\n", "not separated by commas"),
    "empty.csv": (b"", "is empty, or begins with an empty line"),
    "blank.csv": (b"\n1,2\n3,4\n", "is empty, or begins with an empty line"),
    "header.csv": (b"a,b\n", "0 rows and 2 columns: give two rows or more"),
    "one_row.csv": (b"a,b\n1,2\n", "1 rows and 2 columns: give two rows or more"),
    "twice.csv": (b"a,a\n1,2\n3,4\n", "has two columns 'a': rename one"),
    "infinite.csv": (b"a,b\n1,2\n3,inf\n5,6\n", "row 1 holds inf"),
    "missing.csv": (b"a,b\n1,\n3,4\nNA,6\n", "values are missing in rows 0, 2: drop or impute"),
    "no_values.csv": (b"a,b\n1,\n3,\n5,\n", "values are missing in rows 0, 1, 2"),
    "beyond.csv": (b"a,b\n1,1e300\n3,4\n5,6\n", "row 0 holds 1e+300 in column 'b'"),
    "huge.csv": (b"a,b\n1,1%s\n3,4\n" % (b"0" * 60), "row 0 holds 1e+60 in column 'b'"),
    "offset.csv": (
        b"a,b\n" + b"".join(b"%d,%d\n" % (n, 2**60 + 1000 * n) for n in range(20)),
        "float32 does not resolve: standardize",
    ),
    "latin.csv": ("ä,b\n1,2\n3,4\n".encode("latin-1"), "is no text in UTF-8"),
    "latin_cell.csv": ("a,b\n1,ä\n3,4\n".encode("latin-1"), "column 'b' is of type binary"),
    "utf16.csv": ("a,b\n1,2\n3,4\n".encode("utf-16"), "is no text in UTF-8"),
    "date.csv": (b"a,b\n1,2026-01-01\n3,2026-01-02\n", "column 'b' is of type date32"),
    "quote.csv": (b'a,b\n1,"2\n3,4\n', "a table of 1 rows"),
    "noise.npy": (b"not an array at all", "is no file of NumPy's"),
    "empty.npy": (b"", "is no file of NumPy's"),
    "cut.npy": (_TABLE[:-40], "damaged, or of another format"),
    "header.npy": (_TABLE[:20], "damaged, or of another format"),
    "objects.npy": (_numpy(np.array([{}, 1], object)), "Python objects, which are never loaded"),
    "complex.npy": (_numpy(np.ones((3, 2), complex)), "of type complex128"),
    "vector.npy": (_numpy(np.ones(3)), "has the shape (3,)"),
    "rank4.npy": (_numpy(np.ones((3, 2, 2, 2))), "has the shape (3, 2, 2, 2)"),
    "no_columns.npy": (_numpy(np.ones((3, 0))), "has the shape (3, 0), without a number"),
    "no_rows.npy": (_numpy(np.ones((0, 3))), "has the shape (0, 3), without a number"),
    "nan.npy": (_numpy(np.full((3, 2), np.nan)), "values are missing in rows 0, 1, 2"),
    "noise.npz": (b"not an archive", "is no file of NumPy's"),
    "cut.npz": (_numpy(np.ones((9, 9)), lambda b, a: np.savez(b, x=a))[:-30], "damaged"),
    "names.npz": (
        _numpy(np.ones((3, 2)), lambda b, a: np.savez(b, first=a, second=a)),
        "holds first, second: name the array x",
    ),
    "widths.npz": (
        _numpy(np.ones((3, 2)), lambda b, a: np.savez(b, train=a, test=a[:, :1])),
        "train and test have different numbers of columns",
    ),
    "noise.parquet": (b"PAR1 not a table PAR1", "damaged, or of another format"),
    "empty.parquet": (b"", "damaged, or of another format"),
    "table.txt": (b"1 2\n3 4\n", "table.txt"),
}


def write_all(folder: Path) -> None:
    """Each file under its name."""
    for name, (content, _) in HOSTILE.items():
        (folder / name).write_bytes(content)
