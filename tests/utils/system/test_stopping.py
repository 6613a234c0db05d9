"""Signals become requests to stop."""

import os
import signal

import pytest

from utils.system.stopping import stop_requests


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_requests() as request:
        assert request.signal_number == 0
        os.kill(os.getpid(), number)
        assert request.signal_number == number
    assert signal.getsignal(number) == before


def test_a_second_sigterm_changes_nothing() -> None:
    with stop_requests() as request:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal_number == signal.SIGTERM


def test_a_second_ctrl_c_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requests():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
