"""Signals become a flag, and the handlers come back."""

import os
import signal

import numpy as np
import pytest

from experiments.output.table_files import write_table
from experiments.run.stopping import cleaning_up_on_sigterm, stop_on_signal
from remjax.data import Table


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_raises_the_flag_and_nothing_else(name, capfd):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_on_signal() as stop:
        assert not stop
        os.kill(os.getpid(), signal.Signals[name])
        assert stop
        assert stop.signal_name == name
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_name == name
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert capfd.readouterr().err == f"\n{name}: stopping soon; Ctrl-C interrupts at once\n"


def test_second_ctrl_c_interrupts_at_once():
    def press_twice():
        with stop_on_signal():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.npz", "a.npy"])
def test_sigterm_while_a_table_is_written_leaves_nothing(tmp_path, monkeypatch, name):
    """The command ends with the signal's code; what was there before stays as it was."""
    path = tmp_path / name
    path.write_text("before")
    before = signal.getsignal(signal.SIGTERM)
    synced = os.fsync

    def interrupted(descriptor):
        synced(descriptor)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(SystemExit) as ended, cleaning_up_on_sigterm():
        write_table(path, Table(("a",), np.ones((3, 1))))
    assert ended.value.code == 128 + signal.SIGTERM
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [(name, "before")]
    assert signal.getsignal(signal.SIGTERM) == before
