import torch

from ctcasr.models.step_matrix import StepMatrix


def run(weight, first, *, plain):
    """Three steps, each fed with what the one before has made."""
    matrix = (lambda values: values @ weight.T) if plain else StepMatrix(weight)
    value = first
    for _ in range(3):
        value = matrix(value).tanh()
    return value.square().sum()


def make():
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((4, 4), (3, 4))
    ]


def test_values_and_gradients_are_those_of_plain_products():
    weight, first = make()

    found, expected = (run(weight, first, plain=plain) for plain in (False, True))

    assert torch.equal(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, [weight, first]),
        torch.autograd.grad(expected, [weight, first]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_a_second_pass_backwards_adds_the_same_again():
    weight, first = make()
    loss = run(weight, first, plain=False)

    loss.backward(retain_graph=True)
    once = weight.grad.clone()
    loss.backward()

    torch.testing.assert_close(weight.grad, 2 * once, rtol=1e-12, atol=0)


def test_a_frozen_matrix_lets_gradients_through_and_has_none():
    weight, first = make()
    weight.requires_grad_(False)

    run(weight, first, plain=False).backward()

    assert weight.grad is None
    assert first.grad.abs().min() > 0
