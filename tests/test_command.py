"""The command `remjax` finds the commands, and names them where one is not known."""

import subprocess
import sys

import pytest

from remjax.__main__ import COMMANDS, main


def remjax(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "remjax", *arguments], capture_output=True, text=True
    )


def test_a_command_explains_its_flags():
    done = remjax("encode", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("What the recognition network makes of rows")
    assert "--out" in done.stdout


def test_what_is_no_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["remjax", "trian"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.startswith("error: 'trian' is no command: use one of train,")
    monkeypatch.setattr(sys, "argv", ["remjax"])
    main()
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
