from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ctcasr.config import SpeechConfig, describe_keys, load_config, packaged_configs, parse_config
from ctcasr.errors import ConfigError

CONF = Path(__file__).parent.parent / "conf"


def message_of(values=None, *, overrides=()):
    with pytest.raises(ConfigError) as caught:
        parse_config(values or {}, name="run.yaml", overrides=overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_one(override):
    return parse_config({}, overrides=[override])


# Mistakes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optim": {"peek_lr": 1}}, "optim.peek_lr: unknown key; did you mean 'peak_lr'?"),
        ({"optin": {}}, "optin: unknown key; did you mean 'optim'?"),
        (
            {"heads": {"ctc": {"mass": 1}}},
            (
                "heads.ctc.mass: unknown key; known here: weight, intermediate_layers, "
                "intermediate_weight, label_smoothing"
            ),
        ),
        (
            {"score": {"zzz": 1}},
            "score.zzz: unknown key; known here: rules",
        ),
        ({"optim": {"stride": 1}}, None),  # a key of another section
        ({"encoder": 3}, "encoder: a section of keys is needed, found 3"),
        ({"encoder": None}, "encoder: a section of keys is needed, found None"),
        (
            {"optim": {"peak_lr": 0}},
            "optim.peak_lr: Input should be greater than 0, found 0",
        ),
        (
            {"optim": {"peak_lr": 1e38}},
            "optim.peak_lr: Input should be less than or equal to 1000000, found 1e+38",
        ),
        (
            {"encoder": {"dropout": 1.0}},
            "encoder.dropout: Input should be less than 1, found 1.0",
        ),
        (
            {"optim": {"betas": [0.9, 1.5]}},
            "optim.betas.1: Input should be less than 1, found 1.5",
        ),
        (
            {"text": {"rules": ["nfc", "upper"]}},
            (
                "text.rules: text rule 'upper' does not exist; choose from: nfc, nfkc, whitespace, "
                "lowercase, casefold, punctuation, hyphens, diacritics, numbers, found ['nfc', "
                "'upper']"
            ),
        ),
        (
            {"text": {"unit": "letter"}},
            "text.unit: Input should be 'char', 'grapheme', 'word' or 'subword', found 'letter'",
        ),
        (
            {"decode": {"beam": 2, "nbest": 5}},
            "decode: nbest 5 needs a beam of at least 5",
        ),
        ({"optim": {"peak_lr": float("nan")}}, None),
        (
            {"heads": {"ctc": {"intermediate_layers": [1, 3]}}},
            (
                "heads.ctc.intermediate_layers [1, 3]: give rising numbers of layers, from 1 to "
                "the last but one of 3"
            ),
        ),
        ({"heads": {"ctc": {"intermediate_layers": [2, 1]}}}, None),
        ({"heads": {"ctc": {"intermediate_layers": [0]}}}, None),
        (
            {"heads": {"ctc": {"intermediate_layers": [2]}}, "encoder": {"hidden": [8, 8, 9]}},
            (
                "heads.ctc.intermediate_layers [2] share the output layer with the last, but give "
                "another number of values; set encoder.projection, or leave encoder.skip at none "
                "or residual"
            ),
        ),
        ({"heads": {"ctc": {"intermediate_layers": [1]}}, "encoder": {"skip": "dense"}}, None),
        ({"heads": {"ctc": {"intermediate_layers": [1]}}, "encoder": {"skip": "to_output"}}, None),
        ({"heads": {"ctc": {"label_smoothing": 1.0}}}, None),
        (
            {"training": {"bptt_frames": 20}},
            (
                "training.bptt_frames cuts what is carried forwards, and a backward direction "
                "starts at the last frame: set encoder.directions=forwards, or leave it out"
            ),
        ),
        ({"training": {"ema_decay": 1.0}}, None),
        ({"training": {"epochs": 2.5}}, None),
        (
            {"frontend": {"kind": "mfcc"}, "augment": {"warp": [0.9, 1.1]}},
            (
                "augment.warp and augment.response_db act on spectra; with frontend.kind mfcc "
                "leave them at [1, 1] and 0"
            ),
        ),
    ],
)
def test_mistakes_name_the_key_the_value_and_what_is_needed(values, message):
    found = message_of(values)

    assert found.startswith("run.yaml: ")
    if message is not None:
        assert found == f"run.yaml: {message}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.peek_lr=1", "--set: optim.peek_lr: unknown key; did you mean 'peak_lr'?"),
        ("optim=5", "--set: optim: a section of keys is needed, found 5"),
        ("seed", "--set seed: give KEY=VALUE, as in --set optim.peak_lr=3e-4"),
        ("=3", "--set =3: give KEY=VALUE, as in --set optim.peak_lr=3e-4"),
        ("seed=[", "--set seed=[: the value is not YAML"),
        ("seed.more=1", "--set seed.more=1: seed is a value, not a section"),
        ("seed=-1", "run.yaml: seed: Input should be greater than or equal to 0, found -1"),
    ],
)
def test_mistakes_in_overrides_are_named(override, message):
    assert message_of({"seed": 3}, overrides=[override]) == message


# Overrides


def test_overrides_reach_every_key():
    for key, _, default, _ in describe_keys():
        assert parse_config({}, overrides=[f"{key}={default}"]) == SpeechConfig()


def test_a_number_without_a_point_is_a_number():
    assert set_one("optim.peak_lr=3e-4").optim.peak_lr == 3e-4
    assert set_one("data.batch_frames=9e3").data.batch_frames == 9_000
    assert set_one("training.patience=null").training.patience is None


def test_lists_and_text_are_overridden_in_yaml():
    assert set_one("augment.speed=[0.8, 1.2]").augment.speed == (0.8, 1.2)
    assert set_one("text.rules=[nfc]").text.rules == ("nfc",)
    assert set_one("data.train=a b=c.jsonl").data.train == "a b=c.jsonl"
    assert set_one("data.train=2024-01-31").data.train == "2024-01-31"


def test_the_last_override_wins_over_the_file_and_the_first():
    config = parse_config({"seed": 1}, overrides=["seed=2", "seed=3"])

    assert config.seed == 3


def test_the_values_given_are_not_changed():
    values = {"optim": {"peak_lr": 1.0}}

    parse_config(values, overrides=["optim.peak_lr=2.0", "seed=5"])

    assert values == {"optim": {"peak_lr": 1.0}}


# Files


@given(
    lr=st.floats(1e-7, 10),
    labels=st.none() | st.lists(st.text(min_size=1), unique=True),
    speed=st.tuples(st.floats(0.5, 1), st.floats(1, 2)),
    train=st.none() | st.text(),
)
def test_what_is_written_as_yaml_is_read_back(lr, labels, speed, train):
    config = parse_config(
        {
            "optim": {"peak_lr": lr},
            "text": {"alphabet": labels},
            "augment": {"speed": list(speed)},
            "data": {"train": train},
        }
    )

    assert parse_config(yaml.safe_load(config.to_yaml())) == config


def test_a_file_holds_what_differs_from_the_defaults(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("\ufeffoptim:\n  peak_lr: 3e-4  # no point\n", encoding="utf-8")

    config = load_config(path, overrides=["seed=9"])

    assert config.optim.peak_lr == 3e-4
    assert config == SpeechConfig().model_copy(update={"optim": config.optim, "seed": 9})


def test_an_empty_file_is_all_defaults(tmp_path):
    (tmp_path / "run.yaml").touch()

    assert load_config(tmp_path / "run.yaml") == SpeechConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n", "holds list; give sections of keys and values"),
        (b"optim: [\n", "not YAML: while parsing"),
        (b"a: !!python/object:os.system x", "not YAML: could not determine a constructor"),
        (b"caf\xe9: 1", "cannot be read as UTF-8 text"),
        (b"optim:\n  peek_lr: 1\n", "optim.peek_lr: unknown key; did you mean 'peak_lr'?"),
        (b"1: 2", "1: unknown key"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, content, message):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_those_that_ship():
    with pytest.raises(ConfigError) as caught:
        load_config("conf/none.yaml")

    names = ", ".join(packaged_configs())
    assert str(caught.value) == (
        f"conf/none.yaml: no such configuration file, nor a packaged one; there are: {names}"
    )


def test_every_configuration_of_ours_loads():
    files = sorted(CONF.glob("*.yaml"))

    assert files
    for source in (*map(str, files), *packaged_configs()):
        assert load_config(source)


# The reference


def test_every_key_has_a_meaning_and_a_default():
    rows = list(describe_keys())

    assert len(rows) == len({key for key, *_ in rows}) > 40
    for key, kind, default, meaning in rows:
        assert key.count(".") or key == "seed"
        assert kind
        assert default
        assert len(meaning) > 8, f"{key} says nothing"
        assert "\n" not in meaning


def test_the_reference_shows_types_and_defaults_as_yaml_has_them():
    rows = {key: (kind, default) for key, kind, default, _ in describe_keys()}

    assert rows["optim.peak_lr"] == ("float", "0.002")
    assert rows["data.train"] == ("str | null", "null")
    assert rows["text.rules"] == ("[str, ...]", '["nfc", "whitespace"]')
    assert rows["augment.speed"] == ("[float, float]", "[0.9, 1.1]")
    assert rows["frontend.kind"] == ("log_mel | mfcc | spectrogram", '"log_mel"')


def test_configurations_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        SpeechConfig().optim.peak_lr = 1.0  # type: ignore[misc]


# What follows from it


@pytest.mark.parametrize("num_samples", [0, 1, 160, 161, 481, 16_000])
def test_encoder_frames_follow_from_samples(num_samples):
    config = SpeechConfig()

    hops = -(-num_samples // 160)
    assert config.num_encoder_frames(num_samples) == -(-hops // 3)


@pytest.mark.parametrize(
    "values",
    [
        {"heads": {"ctc": {"intermediate_layers": [1, 2]}}},
        {
            "heads": {"ctc": {"intermediate_layers": [1]}},
            "encoder": {"hidden": [8, 9, 8], "reduce_after": [1]},
        },
        {
            "heads": {"ctc": {"intermediate_layers": [1, 2]}},
            "encoder": {"hidden": [8, 9, 10], "projection": 8, "skip": "residual"},
        },
        {"training": {"bptt_frames": 20}, "encoder": {"directions": "forwards"}},
    ],
)
def test_layers_of_one_size_can_share_the_head_and_gradients_be_cut_forwards(values):
    config = parse_config(values)

    assert parse_config(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    ("given", "beam"),
    [
        ({}, 0),
        ({"nbest": 1}, 0),
        ({"alpha": 2}, 0),
        ({"nbest": 3}, 64),
        ({"nbest": 100}, 100),
        ({"lm": "words.arpa"}, 64),
        ({"lexicon": "words.txt"}, 64),
        ({"hotwords": {"a": 1}}, 64),
        ({"lm": "words.arpa", "beam": 7}, 7),
    ],
)
def test_a_beam_is_chosen_where_one_is_needed(given, beam):
    assert parse_config({"decode": given}).decode.beam == beam


@pytest.mark.parametrize("given", [{"lm": "a"}, {"lm_sha256": "0" * 64}, {"hotwords": {"a": 1}}])
def test_a_beam_of_0_with_words_to_weigh_is_refused(given):
    with pytest.raises(ConfigError) as caught:
        parse_config({"decode": given | {"beam": 0}})
    assert str(caught.value) == (
        "configuration: decode: a beam of 0 is the best path, which heeds no language model, "
        "lexicon or hotwords; give a beam, as in 64, or leave them out, as in decode.lm=null"
    )


@pytest.mark.parametrize(
    "given",
    [
        {"alpha": -0.1},
        {"unknown": 0.1},
        {"hotwords": {"a": 0}},
        {"hotwords": ["a"]},
        {"label_threshold": 1},
        {"lm_sha256": "abc"},
        {"lm_unit": "phone"},
        {"beta": float("inf")},
    ],
)
def test_a_search_that_cannot_be_is_refused(given):
    with pytest.raises(ConfigError, match=r"configuration: decode\."):
        parse_config({"decode": given})


def test_hotwords_can_be_set_one_by_one():
    config = parse_config({}, overrides=["decode.hotwords.kleene=8", "decode.hotwords.ab=2"])
    assert config.decode.hotwords == {"kleene": 8.0, "ab": 2.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"text": {"rules": ["compounds"]}},
            "text.rules: text rule 'compounds' compares an output with its reference",
        ),
        (
            {"score": {"rules": ["numbers:xx"]}},
            "score.rules: text rule 'numbers:xx': no numbers are known in language 'xx'",
        ),
    ],
)
def test_rules_are_checked_where_they_are_named(values, message):
    assert message_of(values).startswith(f"run.yaml: {message}")


def test_scores_may_have_rules_on_pairs():
    rules = ("numbers:de", "compounds")

    assert parse_config({"score": {"rules": rules}}).score.rules == rules
