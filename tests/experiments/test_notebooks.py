"""Each notebook runs from top to bottom, without a warning from our code."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

NOTEBOOKS = sorted((Path(__file__).parents[2] / "experiments" / "notebooks").glob("*.ipynb"))

# A warning raised by the library or by a cell is an error; what third parties say is theirs.
_STRICT = r"import warnings; warnings.filterwarnings('error', module=r'remjax|__main__')"


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    stored = [_kinds(cell) for cell in notebook.cells]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(_STRICT))
    # Sockets in the file system, in the folder that is current: no port is taken.
    ipc = Config(KernelManager={"transport": "ipc"})
    NotebookClient(notebook, timeout=120, config=ipc).execute()
    # What a reader of the stored notebook sees is what running it makes.
    assert [_kinds(cell) for cell in notebook.cells[1:]] == stored


def _kinds(cell):
    """The kinds of the outputs of a cell: pictures and tables, not what went to standard error."""
    outputs = cell.get("outputs", [])
    return [sorted(output.data) for output in outputs if output.output_type != "stream"]
