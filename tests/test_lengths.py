import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.models.lengths import padding_mask, reverse_within

lengths_of_batches = st.lists(st.integers(0, 6), min_size=1, max_size=4)


@given(lengths=lengths_of_batches)
def test_mask_has_as_many_frames_as_the_length(lengths):
    mask = padding_mask(torch.tensor(lengths), 6)

    assert mask.sum(1).tolist() == lengths
    assert (mask.int().diff(dim=1) <= 0).all()  # valid frames come first


@given(lengths=lengths_of_batches)
def test_each_utterance_is_reversed_inside_its_own_length(lengths):
    sequence = torch.arange(len(lengths) * 6 * 2.0).reshape(len(lengths), 6, 2)

    reversed_ = reverse_within(sequence, torch.tensor(lengths))

    for row, other, length in zip(sequence, reversed_, lengths, strict=True):
        assert torch.equal(other[:length], row[:length].flip(0))
        assert torch.equal(other[length:], row[length:])


@given(lengths=lengths_of_batches)
def test_reversing_twice_changes_nothing(lengths):
    sequence = torch.randn(len(lengths), 6, 3)
    sizes = torch.tensor(lengths)

    assert torch.equal(reverse_within(reverse_within(sequence, sizes), sizes), sequence)


@given(lengths=lengths_of_batches, frame_by_frame=st.booleans())
def test_the_gradient_of_a_reversal_is_the_reversed_gradient(lengths, frame_by_frame):
    sizes = torch.tensor(lengths)
    sequence = torch.randn(len(lengths), 6, 3)
    if frame_by_frame:  # as torch's layers give it
        sequence = torch.randn(6, len(lengths), 3).transpose(0, 1)
    sequence.requires_grad_()
    weights = torch.randn(len(lengths), 6, 3)

    (reverse_within(sequence, sizes) * weights).sum().backward()

    assert sequence.grad is not None
    assert torch.equal(sequence.grad, reverse_within(weights, sizes))
