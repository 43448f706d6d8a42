"""Signals become a flag, and the handlers come back."""

import os
import signal

import pytest

from experiments.run.stopping import stop_on_signal


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
