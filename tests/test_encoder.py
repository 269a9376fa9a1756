import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from ctcasr.config import parse_config
from ctcasr.errors import ConfigError
from ctcasr.models.dropout import SequenceDropout
from ctcasr.models.encoder import Encoder, EncoderConfig, SkipKind
from ctcasr.models.recurrent import CellKind, Directions, StartKind
from ctcasr.models.subsampling import SubsamplingKind

LENGTHS = torch.tensor([23, 0, 8, 1])


def make(**values) -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderConfig(**{"layers": 2, "hidden": 4, "channels": 8} | values), 5)


def make_features(num_frames=23):
    """Four utterances of LENGTHS, zero beyond each."""
    torch.manual_seed(1)
    features = torch.randn(len(LENGTHS), num_frames, 5)
    return features * (torch.arange(num_frames) < LENGTHS[:, None])[..., None]


# Frames


@given(
    stride=st.integers(1, 8),
    reduce_after=st.sets(st.integers(1, 3), max_size=3).map(sorted),
    frames=st.integers(0, 70),
    kind=st.sampled_from(SubsamplingKind),
)
def test_encoder_frames_are_those_the_config_promises(stride, reduce_after, frames, kind):
    values = {"stride": stride, "subsampling": kind, "layers": 4, "reduce_after": reduce_after}
    encoder = make(**values)
    features = torch.randn(1, frames, 5)

    output, lengths = encoder(features, torch.tensor([frames]))

    config = EncoderConfig(**values)
    assert config.frames_per_output == stride * 2 ** len(reduce_after)
    assert output.shape == (1, -(-frames // config.frames_per_output), 8)
    assert lengths.tolist() == [output.shape[1]] == [config.num_frames(frames)]


@given(
    reduce_after=st.sets(st.integers(1, 3), max_size=3).map(sorted), skip=st.sampled_from(SkipKind)
)
def test_each_layer_gives_as_many_values_as_it_says(reduce_after, skip):
    encoder = make(layers=4, reduce_after=reduce_after, skip=skip)

    outputs = list(encoder.layer_outputs(make_features(), LENGTHS))
    empty = list(encoder.layer_outputs(make_features()[:, :0], 0 * LENGTHS))

    assert [hidden.shape[-1] for hidden, _ in outputs] == encoder.sizes
    assert [tuple(hidden.shape) for hidden, _ in empty] == [(4, 0, size) for size in encoder.sizes]
    assert encoder.output_size == encoder.sizes[-1]


def test_hidden_vectors_beyond_a_length_are_zero():
    output, lengths = make(stride=2)(torch.randn(2, 9, 5), torch.tensor([9, 4]))

    assert lengths.tolist() == [5, 2]
    assert output[1, :2].any()
    assert not output[1, 2:].any()


def test_pairs_of_frames_reach_the_next_layer_side_by_side():
    encoder = make(layers=2, stride=1, reduce_after=[1], dropout=0)
    seen = []
    encoder.layers[1].register_forward_pre_hook(lambda _, given_: seen.append(given_))

    (first, first_lengths), _ = encoder.layer_outputs(make_features(), LENGTHS)

    ((paired, lengths),) = seen
    assert first_lengths.tolist() == [23, 0, 8, 1]
    assert lengths.tolist() == [12, 0, 4, 1]
    assert torch.equal(paired[0, 4], torch.cat([first[0, 8], first[0, 9]]))
    assert torch.equal(paired[0, 11], torch.cat([first[0, 22], torch.zeros(8)]))


@pytest.mark.parametrize("skip", SkipKind)
@pytest.mark.parametrize("reduce_after", [[], [1], [2], [1, 2]])
def test_output_does_not_depend_on_batch_neighbours(skip, reduce_after):
    encoder = (
        make(
            layers=3, skip=skip, reduce_after=reduce_after, layer_norm=True, projection=6, stride=1
        )
        .double()
        .eval()
    )
    features = make_features().double()

    together, lengths = encoder(features, LENGTHS)

    for index, frames in enumerate(LENGTHS.tolist()):
        length = int(lengths[index])
        alone, _ = encoder(features[index : index + 1, :frames], torch.tensor([frames]))
        torch.testing.assert_close(alone[0], together[index, :length], rtol=0, atol=1e-12)
        assert not together[index, length:].any()


# Skip connections and sizes, against the same layers put together by hand


def layer_by_layer(encoder, features, lengths):
    """What each layer of an encoder gives to the skip connections, by hand, without them."""
    hidden, lengths = encoder.subsampling(features, lengths)
    valid = (torch.arange(hidden.shape[1]) < lengths[:, None])[..., None]

    def run(index, given_):
        return encoder.layers[index](given_, lengths) * valid

    return hidden, run


def test_residual_layers_add_what_they_were_given():
    encoder = make(layers=3, skip="residual", dropout=0)
    hidden, run = layer_by_layer(encoder, make_features(), LENGTHS)

    first = run(0, hidden)
    second = first + run(1, first)
    third = second + run(2, second)

    assert torch.equal(encoder(make_features(), LENGTHS)[0], third)


def test_dense_layers_see_features_and_all_outputs_before():
    encoder = make(layers=3, skip="dense", dropout=0, hidden=[4, 5, 6])
    hidden, run = layer_by_layer(encoder, make_features(), LENGTHS)

    for index in range(3):
        hidden = torch.cat([hidden, run(index, hidden)], dim=-1)

    assert torch.equal(encoder(make_features(), LENGTHS)[0], hidden)


def test_every_layer_reaches_the_output_where_asked():
    encoder = make(layers=3, skip="to_output", dropout=0, hidden=[4, 5, 6])
    hidden, run = layer_by_layer(encoder, make_features(), LENGTHS)

    outputs = []
    for index in range(3):
        hidden = run(index, hidden)
        outputs.append(hidden)

    assert torch.equal(encoder(make_features(), LENGTHS)[0], torch.cat(outputs, dim=-1))


def test_outputs_of_all_layers_are_reduced_together():
    encoder = make(layers=2, skip="to_output", dropout=0, stride=1, reduce_after=[1])

    (first, _), (output, lengths) = encoder.layer_outputs(make_features(), LENGTHS)

    assert lengths.tolist() == [12, 0, 4, 1]
    assert torch.equal(output[0, 4, :16], torch.cat([first[0, 8], first[0, 9]]))


def test_a_residual_connection_cannot_cross_a_reduction():
    encoder = make(layers=3, skip="residual", dropout=0, stride=1, reduce_after=[1])

    outputs = list(encoder.layer_outputs(make_features(), LENGTHS))
    (first, _), (second, lengths), (third, _) = outputs
    paired = nn.functional.pad(first, (0, 0, 0, 1)).reshape(4, 12, 16)
    valid = (torch.arange(12) < lengths[:, None])[..., None]

    assert torch.equal(second, encoder.layers[1](paired, lengths) * valid)
    assert torch.equal(third, second + encoder.layers[2](second, lengths) * valid)


def test_projection_then_normalisation_follow_each_layer():
    encoder = make(layers=1, projection=6, layer_norm=True, dropout=0)
    hidden, run = layer_by_layer(encoder, make_features(), LENGTHS)
    projected = encoder.projections[0](run(0, hidden))

    output, _ = encoder(make_features(), LENGTHS)

    torch.testing.assert_close(
        output[0], nn.functional.layer_norm(projected[0], (6,)), rtol=0, atol=1e-6
    )
    assert output[0].mean(-1).abs().max() < 1e-6
    assert encoder.output_size == 6


def test_layers_may_have_a_size_each():
    encoder = make(layers=3, hidden=[4, 6, 5], directions="forwards")

    assert encoder.sizes == [4, 6, 5]
    assert EncoderConfig(layers=2, hidden=7).hidden_sizes == (7, 7)


# Dropout


def test_dropout_acts_in_training_only():
    encoder = make(dropout=0.5)
    features, lengths = torch.randn(1, 12, 5), torch.tensor([12])

    assert not torch.equal(encoder(features, lengths)[0], encoder(features, lengths)[0])
    encoder.eval()
    assert torch.equal(encoder(features, lengths)[0], encoder(features, lengths)[0])


def test_one_mask_serves_all_frames_of_an_utterance():
    torch.manual_seed(0)
    dropped = SequenceDropout(0.3)(torch.ones(50, 9, 40))

    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert len({tuple(row[0].tolist()) for row in dropped}) == 50  # each utterance has its own


def test_the_encoder_drops_as_it_is_told():
    alike = make(dropout=0.5, dropout_per_sequence=True, layers=1)
    zeros = alike(make_features(), LENGTHS)[0][0] == 0

    assert torch.equal(zeros, zeros[:1].expand_as(zeros))
    assert zeros.any()
    assert not zeros.all()
    assert torch.equal(
        alike.eval()(make_features(), LENGTHS)[0],
        make(layers=1).eval()(make_features(), LENGTHS)[0],
    )


# Directions


@pytest.mark.parametrize("kind", SubsamplingKind)
def test_both_directions_see_the_whole_utterance(kind):
    encoder = make(subsampling=kind, layers=1, dropout=0).eval()
    features = torch.randn(1, 30, 5, requires_grad=True)

    output, _ = encoder(features, torch.tensor([30]))
    gradient = torch.autograd.grad(output[0, 5].sum(), features)[0]

    assert (gradient.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("cell", CellKind)
@pytest.mark.parametrize("skip", SkipKind)
def test_forwards_only_no_output_needs_what_comes_after_it(cell, skip):
    encoder = make(cell=cell, directions="forwards", skip=skip, layers=3, reduce_after=[1]).eval()
    features = torch.randn(1, 36, 5, requires_grad=True)

    output, _ = encoder(features, torch.tensor([36]))
    gradient = torch.autograd.grad(output[0, 2].sum(), features)[0].abs().sum(-1)[0]

    assert (gradient[:18] > 0).all()  # 3 outputs of 6 frames
    assert not gradient[18:].any()


@pytest.mark.parametrize("reduce_after", [[], [1]])
def test_the_cut_of_the_gradient_falls_between_the_same_frames_in_every_layer(reduce_after):
    encoder = make(directions="forwards", layers=2, stride=1, dropout=0, reduce_after=reduce_after)
    features = torch.randn(1, 24, 5, requires_grad=True)

    *_, (whole, _) = encoder.layer_outputs(features, torch.tensor([24]))
    *_, (cut, _) = encoder.layer_outputs(features, torch.tensor([24]), gradient_frames=4)
    gradient = torch.autograd.grad(cut[0, 5].sum(), features)[0].abs().sum(-1)[0]

    width = 2 ** len(reduce_after)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-6)
    assert not gradient[: 4 * width].any()
    assert (gradient[4 * width : 6 * width] > 0).all()


# Mistakes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"hidden": [8, 8]},
            "encoder: hidden has 2 sizes, but layers is 3; give one size for each layer",
        ),
        (
            {"hidden": [8, 2, 8]},
            (
                "encoder.hidden: give the units of every layer, at least 4, as in 256, or a list "
                "with a number for each, as in [256, 128], found [8, 2, 8]"
            ),
        ),
        ({"hidden": []}, None),
        ({"hidden": "many"}, None),
        ({"hidden": 8.5}, None),
        ({"hidden": {"first": 8}}, None),
        (
            {"reduce_after": [3]},
            (
                "encoder: reduce_after [3]: give rising numbers of layers, from 1 to the last but "
                "one of 3; frames are reduced between two layers"
            ),
        ),
        ({"reduce_after": [0]}, None),
        ({"reduce_after": [2, 1]}, None),
        ({"reduce_after": [1, 1]}, None),
        (
            {"skip": "residual", "hidden": [8, 8, 4]},
            (
                "encoder: skip residual adds layers of one size, but hidden is [8, 8, 4]; give one "
                "number, or set projection"
            ),
        ),
        (
            {"cell": "gru", "init": {"forget_bias": 2}},
            "encoder: init.forget_bias is the LSTM's; cell gru has no forget gate, leave it out",
        ),
        (
            {"init": {"input": "identity"}},
            (
                "encoder.init: input: identity is a square matrix; it is for init.recurrent, "
                "choose another here"
            ),
        ),
        ({"cell": "rnn"}, None),
        ({"directions": "backwards"}, None),
        (
            {"init": {"recurent": "he"}},
            "encoder.init.recurent: unknown key; did you mean 'recurrent'?",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as caught:
        parse_config({"encoder": values})

    found = str(caught.value)
    assert found.startswith("configuration: encoder")
    assert "\n" not in found
    if message is not None:
        assert found == f"configuration: {message}"


@pytest.mark.parametrize(
    "values",
    [
        {"hidden": [8, 6, 4]},
        {"hidden": 3e2},
        {"hidden": [8, 6, 4], "skip": "residual", "projection": 8},
        {"cell": "gru", "directions": "forwards", "start_state": "learned"},
        {"cell": "rnn_relu", "init": {"recurrent": "identity", "input": "he"}},
        {"reduce_after": [1, 2], "skip": "dense", "layer_norm": True},
    ],
)
def test_what_goes_together_is_taken_and_read_back(values):
    config = parse_config({"encoder": values})

    assert parse_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("maps", [0, [], [16, 0]])
def test_every_convolution_has_maps(maps):
    with pytest.raises(ConfigError, match=r"encoder: .*give a number above 0, or a list of them"):
        parse_config({"encoder": {"maps": maps}})


SIZES = st.integers(4, 7)
COMBINATIONS = st.fixed_dictionaries(
    {
        "layers": st.just(3),
        "hidden": SIZES | st.lists(SIZES, min_size=3, max_size=3),
        "cell": st.sampled_from(CellKind),
        "directions": st.sampled_from(Directions),
        "skip": st.sampled_from(SkipKind),
        "projection": st.none() | SIZES,
        "layer_norm": st.booleans(),
        "reduce_after": st.sets(st.integers(1, 2)).map(sorted),
        "start_state": st.sampled_from(StartKind),
        "dropout_per_sequence": st.booleans(),
        "subsampling": st.sampled_from(SubsamplingKind),
        "stride": st.integers(1, 4),
        "maps": st.just(2) | st.lists(st.integers(1, 3), min_size=1, max_size=3),
    }
)


@settings(max_examples=60, deadline=None)
@given(values=COMBINATIONS)
def test_whatever_the_config_takes_learns_runs_and_is_built_anew(values):
    sizes = values["hidden"] if isinstance(values["hidden"], list) else [values["hidden"]]
    uneven = len(set(sizes)) > 1 and values["projection"] is None
    assume(not (values["skip"] is SkipKind.RESIDUAL and uneven))
    config = EncoderConfig(channels=8, **values)
    torch.manual_seed(0)
    encoder = Encoder(config, 5)
    features = make_features()

    output, lengths = encoder(features, LENGTHS)
    output.square().sum().backward()

    assert lengths.tolist() == [config.num_frames(length) for length in LENGTHS.tolist()]
    assert output.shape == (4, config.num_frames(23), encoder.output_size)
    assert not output[1].any()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    twin = Encoder(EncoderConfig(**config.model_dump(mode="json")), 5)
    twin.load_state_dict(encoder.state_dict())
    assert torch.equal(twin.eval()(features, LENGTHS)[0], encoder.eval()(features, LENGTHS)[0])


@pytest.mark.parametrize("start", StartKind)
@pytest.mark.parametrize("directions", Directions)
def test_without_skips_parameters_keep_the_names_that_model_files_have(directions, start):
    names = {
        n for n, _ in make(layers=1, directions=directions, start_state=start).named_parameters()
    }
    kinds = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    ways = ("forwards", "backwards") if directions is Directions.BOTH else ("forwards",)

    expected = {f"layers.0.{way}.{kind}" for way in ways for kind in kinds}
    if start is StartKind.LEARNED:
        expected |= {
            f"layers.0.start_{way}.{state}" for way in ways for state in ("hidden", "cell")
        }
    assert names == expected
