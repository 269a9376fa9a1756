import signal
import threading

import pytest

from ctcasr.training.interruption import Interrupted, listen_for_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_block_goes_on(number):
    with listen_for_stop() as stop:
        assert stop.signal_number is None
        signal.raise_signal(number)
        assert stop.signal_number == number


def test_the_second_signal_does_not_wait():
    with listen_for_stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert stop.signal_number == signal.SIGTERM


def test_handlers_are_put_back_even_after_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def fail():
        with listen_for_stop():
            assert signal.getsignal(signal.SIGINT) not in before
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_nothing_is_touched():
    seen = []

    def work():
        with listen_for_stop() as stop:
            seen.append((stop.signal_number, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [(None, before)]


def test_an_interruption_names_its_signal():
    assert str(Interrupted(signal.SIGTERM)) == "interrupted by SIGTERM"
    assert Interrupted(signal.SIGINT).signal_number == 2
