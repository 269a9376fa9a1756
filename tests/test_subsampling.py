import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.models.encoder import EncoderConfig
from ctcasr.models.subsampling import (
    FrameStacking,
    PoolingConvolution,
    SpectralConvolution,
    StridedConvolution,
    SubsamplingKind,
)

POOLING = (3, 2, 4)  # maps of each convolution


def make(kind: SubsamplingKind | tuple[int, ...], stride: int):
    torch.manual_seed(0)
    if isinstance(kind, tuple):
        return PoolingConvolution(3, stride, 8, maps=kind)
    if kind is SubsamplingKind.STACK:
        return FrameStacking(3, stride)
    if kind is SubsamplingKind.CONV2D:
        return SpectralConvolution(3, stride, 8, maps=2)
    return StridedConvolution(3, stride, 8)


kinds = pytest.mark.parametrize("kind", [*SubsamplingKind, POOLING])


def padded(lengths):
    torch.manual_seed(1)
    features = torch.randn(len(lengths), max(lengths), 3)
    for row, length in zip(features, lengths, strict=True):
        row[length:] = 0
    return features, torch.tensor(lengths)


@kinds
@given(stride=st.integers(1, 8), lengths=st.lists(st.integers(0, 25), min_size=1).filter(any))
def test_frame_counts_are_those_the_config_promises(kind, stride, lengths):
    features, sizes = padded(lengths)

    output, output_lengths = make(kind, stride)(features, sizes)

    config = EncoderConfig(stride=stride)
    assert output_lengths.tolist() == [config.num_frames(n) for n in lengths]
    assert output.shape[1] == config.num_frames(max(lengths))


@kinds
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 8])
def test_output_does_not_depend_on_batch_neighbours(kind, stride):
    module = make(kind, stride)
    features, sizes = padded([20, 7, 1, 13])
    together, lengths = module(features, sizes)

    for row, size, length, source in zip(together, sizes, lengths, features, strict=True):
        alone, _ = module(source[None, :size], size[None])
        torch.testing.assert_close(row[:length], alone[0], rtol=0, atol=1e-6)
        assert not row[length:].any()


def test_stacked_frames_are_the_frames_side_by_side():
    features = torch.arange(1.0, 15.0).reshape(1, 7, 2)

    output, lengths = FrameStacking(2, 3)(features, torch.tensor([7]))

    assert lengths.tolist() == [3]
    assert output[0].tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14, 0, 0, 0, 0]]


@pytest.mark.parametrize("kind", [SubsamplingKind.CONV, SubsamplingKind.CONV2D, POOLING])
@pytest.mark.parametrize("stride", [1, 2, 3, 5, 8])
def test_every_frame_reaches_the_output_of_the_convolution(kind, stride):
    features = torch.randn(1, 17, 3, requires_grad=True)

    output, _ = make(kind, stride)(features, torch.tensor([17]))
    output.sum().backward()

    assert features.grad is not None
    assert (features.grad.abs().sum(-1) > 0).all()


@given(features=st.integers(1, 40))
def test_any_number_of_features_can_be_convolved(features):
    for module in (
        SpectralConvolution(features, 2, 8, maps=2),
        PoolingConvolution(features, 2, 8, maps=POOLING),
    ):
        output, _ = module(torch.randn(1, 5, features), torch.tensor([5]))

        assert output.shape == (1, 3, 8)


@pytest.mark.parametrize(
    ("stride", "pools"), [(1, [1, 1, 1]), (2, [2, 1, 1]), (4, [2, 2, 1]), (6, [2, 1, 1])]
)
def test_frames_are_pooled_as_often_as_the_stride_can_be_halved(stride, pools):
    module = PoolingConvolution(16, stride, 8, maps=POOLING)

    assert module.pools == pools
    assert module.stacking.output_size == 2 * 4 * (stride // (pools[0] * pools[1]))


@kinds
@pytest.mark.parametrize("stride", [1, 2, 4, 6, 8])
def test_an_output_depends_on_the_frames_it_says_and_no_others(kind, stride):
    module = make(kind, stride).double()
    features = torch.randn(1, 12 * stride, 3, dtype=torch.float64, requires_grad=True)

    output: torch.Tensor = module(features, torch.tensor([12 * stride]))[0]
    gradients = [
        torch.autograd.grad(output[0, 6, unit], features, retain_graph=True)[0]
        for unit in range(output.shape[2])
    ]
    near = slice(max(0, 6 * stride - module.look_back), 6 * stride + module.look_ahead + 1)
    for gradient in gradients:
        gradient[0, near] = 0
        assert not gradient.any()


def test_pooling_passes_the_largest_of_its_frames_and_features_on():
    module = PoolingConvolution(4, 4, 1, maps=(1, 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for convolution in module.convolutions:
            assert isinstance(convolution, torch.nn.Conv2d)
            convolution.weight[0, 0, 1, 1] = 1.0  # each pixel as it is
        module.reduce.weight.fill_(1.0)
    features = 10 + torch.rand(1, 8, 4)  # so large that GELU changes nothing

    output, _ = module(features, torch.tensor([8]))

    torch.testing.assert_close(output, features.reshape(1, 2, 16).amax(-1, keepdim=True))


def test_of_four_neighbouring_features_the_largest_is_passed_on():
    module = SpectralConvolution(8, 1, 2, maps=1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for convolution in (module.first, module.second):
            convolution.weight[0, 0, 1, 1] = 1.0  # each feature as it is
        module.reduce.weight.copy_(torch.eye(2))
    features = 10 + torch.rand(1, 6, 8)  # so large that GELU changes nothing

    output, _ = module(features, torch.tensor([6]))

    torch.testing.assert_close(output, features.reshape(1, 6, 2, 4).amax(-1))
