"""A recognizer and its file: what is saved is what is loaded, and what cannot be is refused."""

import copy

import pytest

import ctcasr
from ctcasr.bundle import find_model, save_recognizer
from ctcasr.decode_config import DecodeConfig
from ctcasr.decoding import estimate_ngrams, write_arpa
from ctcasr.errors import LanguageModelError, ModelFileError
from ctcasr.model_file import read_model, write_model

# Loading


def test_a_saved_model_is_the_same_model(recognizer, samples, tmp_path):
    save_recognizer(
        tmp_path / "copy.safetensors", recognizer, training={"items": 8}, created_with="a test"
    )

    copy = ctcasr.load(tmp_path / "copy.safetensors", device="cpu")

    assert copy.name == "copy"
    assert copy.transcribe(samples, sample_rate=8_000).log_prob == pytest.approx(
        recognizer.transcribe(samples, sample_rate=8_000).log_prob, rel=1e-6
    )


def test_a_model_holds_no_path_and_no_text(tone_run):
    content = (tone_run.folder / "model.safetensors").read_bytes()

    assert tone_run.manifest.name.encode() not in content
    assert b"dabc" not in content


def test_a_run_folder_means_its_model(tone_run):
    assert find_model(tone_run.folder) == tone_run.folder / "model.safetensors"
    assert ctcasr.load(str(tone_run.folder)).name == tone_run.folder.name


def test_a_folder_without_a_model_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelFileError) as caught:
        ctcasr.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: a folder without model.safetensors; give a run that has finished, or go on "
        f"with it: ctcasr train CONFIG -o {tmp_path} --resume"
    )


def test_a_misspelt_builtin_name_names_the_nearest(monkeypatch):
    monkeypatch.setattr("ctcasr.bundle.builtin_models", lambda: ["en-alnum"])

    with pytest.raises(ModelFileError) as caught:
        ctcasr.load("en-alnm")
    assert str(caught.value) == (
        "en-alnm: no such model file, run folder or built-in model; did you mean 'en-alnum'?"
    )


def test_a_header_and_tensors_that_do_not_fit_are_refused(recognizer, tone_run, tmp_path):
    stored = read_model(tone_run.folder / "model.safetensors")
    tensors = dict(stored.tensors)
    del tensors["model.ctc.output.bias"]
    write_model(tmp_path / "odd.safetensors", header=stored.header, tensors=tensors)

    with pytest.raises(ModelFileError, match="header and tensors do not fit together") as caught:
        ctcasr.load(tmp_path / "odd.safetensors")
    assert "\n" not in str(caught.value)


# Language models in model files


@pytest.fixture
def words(recognizer, tmp_path):
    """A recognizer that decodes with a language model and a lexicon, and their files."""
    arpa, lexicon = tmp_path / "words.arpa.gz", tmp_path / "words.txt"
    write_arpa(arpa, estimate_ngrams([["cad"], ["bad"], ["cad", "bad"]], order=2).model)
    lexicon.write_text("cad\nbad\n", encoding="utf-8")
    decode = DecodeConfig(lm=str(arpa), lexicon=str(lexicon), beta=1)
    changed = copy.copy(recognizer)
    changed.config = recognizer.config.model_copy(update={"decode": decode})
    return changed, arpa, lexicon


def save(recognizer, path, **options):
    save_recognizer(path, recognizer, training={"items": 8}, created_with="a test", **options)
    return path


def test_a_model_carries_its_language_model_and_lexicon(words, samples, tmp_path):
    recognizer, arpa, lexicon = words
    path = save(recognizer, tmp_path / "whole.safetensors")
    before = recognizer.transcribe(samples, sample_rate=8_000)
    arpa_bytes = arpa.read_bytes()
    arpa.unlink()
    lexicon.unlink()

    loaded = ctcasr.load(path, device="cpu")
    after = loaded.transcribe(samples, sample_rate=8_000)

    assert (after.text, after.decoder) == (before.text, before.decoder)
    assert after.log_prob == pytest.approx(before.log_prob)
    assert after.decoder["lm"]["name"] == "words.arpa.gz"
    assert loaded.header["decoder"] == before.decoder
    assert (loaded.config.decode.lm, loaded.config.decode.lexicon) == ("embedded", "embedded")
    stored = read_model(path)
    assert stored.tensors["lm.arpa"].numpy().tobytes() == arpa_bytes
    assert str(tmp_path).encode() not in path.read_bytes()
    again = save(loaded, tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_a_model_that_only_names_its_language_model_is_refused_without(words, samples, tmp_path):
    recognizer, arpa, lexicon = words
    path = save(recognizer, tmp_path / "named.safetensors", name_only=True)
    loaded = ctcasr.load(path, device="cpu")

    assert not any(name.startswith("lm.") for name in read_model(path).tensors)
    with pytest.raises(LanguageModelError, match=r"needs the language model words\.arpa\.gz \(SHA"):
        loaded.transcribe(samples, sample_rate=8_000)
    given = loaded.config.decode.model_copy(update={"lm": str(arpa), "lexicon": str(lexicon)})
    assert loaded.transcribe(samples, sample_rate=8_000, decode=given).decoder == (
        recognizer.decoder().description
    )
    write_arpa(arpa, estimate_ngrams([["bad"]], order=1).model)
    with pytest.raises(LanguageModelError, match="another language model than decoding needs"):
        ctcasr.load(path, device="cpu").transcribe(samples, sample_rate=8_000, decode=given)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_language_model_is_refused(words, tmp_path, damage):
    stored = read_model(save(words[0], tmp_path / "whole.safetensors"))
    tensors = dict(stored.tensors)
    if damage == "missing":
        del tensors["lm.arpa"]
    else:
        tensors["lm.arpa"] = tensors["lm.arpa"].clone()
        tensors["lm.arpa"][-1] += 1
    write_model(tmp_path / "odd.safetensors", header=stored.header, tensors=tensors)

    with pytest.raises(ModelFileError, match="its language model is") as caught:
        ctcasr.load(tmp_path / "odd.safetensors", device="cpu")
    assert "\n" not in str(caught.value)


def test_a_model_from_before_there_were_language_models_opens(tone_run, samples, tmp_path):
    stored = read_model(tone_run.folder / "model.safetensors")
    header = copy.deepcopy(dict(stored.header))
    header["config"]["decode"] = {"beam": 0, "nbest": 1, "threshold": 1e-06}  # all there was
    write_model(tmp_path / "old.safetensors", header=header, tensors=stored.tensors)

    old = ctcasr.load(tmp_path / "old.safetensors", device="cpu")

    assert old.config.decode == DecodeConfig()
    assert old.parts == {}
    assert old.transcribe(samples, sample_rate=8_000).decoder == {"search": "best_path"}


def test_the_built_in_model_brings_its_own_words(samples):
    builtin = ctcasr.load("en-alnum", device="cpu")

    assert (builtin.config.decode.lm, builtin.config.decode.lexicon) == ("embedded", "embedded")
    words = (builtin.parts["lexicon"].content or b"").decode().split()
    assert {"zero", "stop", "a", "z", "september"} < set(words)
    heard = builtin.transcribe(samples, sample_rate=8_000)  # tones
    assert set(heard.text.split()) <= set(words)
    assert heard.decoder["lexicon"]["sha256"] == builtin.parts["lexicon"].sha256
