import pytest
import torch
from torch import nn

from ctcasr.training.moving_average import MovingAverage


def scalar(value):
    """A network of one weight."""
    network = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(network.weight, value)
    return network


def follow(values, *, decay):
    """The average after a network has had these values, the first at the start."""
    network = scalar(values[0])
    average = MovingAverage(network, decay=decay)
    for step, value in enumerate(values[1:], start=1):
        nn.init.constant_(network.weight, value)
        average.update(network, step=step)
    return average.weights["weight"].item()


def test_the_average_is_the_recursion_written_out():
    values = [1.0, 5.0, -2.0, 3.0, 8.0]
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        kept = min(0.3, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value

    assert follow(values, decay=0.3) == pytest.approx(expected, rel=1e-14)


def test_early_steps_count_for_more_than_the_decay_says():
    assert follow([0.0, 1.0], decay=0.999) == pytest.approx(1 - 2 / 11)
    assert follow([0.0] * 20_000 + [1.0], decay=0.999) == pytest.approx(0.001)


def test_weights_that_stand_still_are_their_average():
    assert follow([0.3] * 50, decay=0.9) == 0.3


def test_a_network_lent_the_average_gets_its_own_weights_back():
    network = scalar(4.0)
    average = MovingAverage(network, decay=0.5)
    nn.init.constant_(network.weight, 9.0)

    def use_and_fail():
        with average.in_place_of(network):
            assert network.weight.item() == 4.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use_and_fail()

    assert network.weight.item() == 9.0
    assert average.weights["weight"].item() == 4.0


def test_an_average_put_back_goes_on_as_if_never_stopped():
    network = scalar(1.0)
    unbroken, resumed = (MovingAverage(network, decay=0.9) for _ in range(2))
    nn.init.constant_(network.weight, 3.0)
    unbroken.update(network, step=1)
    resumed.load({name: tensor.clone() for name, tensor in unbroken.weights.items()})
    nn.init.constant_(network.weight, -7.0)

    unbroken.update(network, step=2)
    resumed.update(network, step=2)

    assert torch.equal(unbroken.weights["weight"], resumed.weights["weight"])
