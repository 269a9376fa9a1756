"""Every defect of a data set is found by name, and a clean set raises nothing."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from ctcasr.alphabet import Unit, build_alphabet, frames_needed
from ctcasr.checking import (
    Kind,
    Requirements,
    Severity,
    check_utterances,
    find_usable,
    render_report,
    write_report,
)
from ctcasr.checking.audio_checks import clipped_share
from ctcasr.frontends.media import without_augmentation
from ctcasr.frontends.sound.spectral import FrontendConfig
from ctcasr.manifest.utterance import Utterance

RATE = 8_000
HOP = 80
MEDIUM = without_augmentation(FrontendConfig(sample_rate=RATE))
TEXTS = ("one two", "two three", "three one")


def speech(seconds, *, seed):
    """Noise whose level rises and falls like syllables."""
    rng = np.random.default_rng(seed)
    num_samples = round(seconds * RATE)
    level = 0.2 * (1 + np.sin(2 * np.pi * 4 * np.arange(num_samples) / RATE))
    return (level * rng.normal(size=num_samples).clip(-2, 2)).astype(np.float32)


def num_frames(num_samples):
    return -(-num_samples // HOP)


class Corpus:
    """A folder of recordings that belong to utterances."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    def add(self, samples=None, *, text=None, rate=RATE, subtype=None, **fields):
        seed = self.count
        self.count += 1
        path = self.folder / f"r{seed}.wav"
        soundfile.write(
            path, speech(1.0, seed=seed) if samples is None else samples, rate, subtype=subtype
        )
        text = TEXTS[seed % len(TEXTS)] if text is None else text
        return Utterance(id=f"u{seed}", path=path, text=text, **fields)

    def set_of(self, size, **fields):
        return [self.add(**fields) for _ in range(size)]


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path)


def check(sets, **options):
    options = {
        "rules": ("nfc", "whitespace"),
        "medium": MEDIUM,
        "num_frames": num_frames,
        **options,
    }
    return check_utterances(sets, **options)


def only(report):
    """The one finding there is."""
    (finding,) = report.findings
    return finding


# --- clean ------------------------------------------------------------------------------------


def test_a_clean_set_has_no_findings(corpus):
    train = corpus.set_of(24, speaker="a")
    dev = [corpus.add(text="one one two", speaker="b"), corpus.add(text="two two", speaker="b")]

    report = check({"train": train, "dev": dev})

    assert report.findings == ()
    assert report.items == 26
    assert report.seconds == pytest.approx(26.0)
    assert [(s.name, s.items, s.read, s.speakers, s.rates) for s in report.sets] == [
        ("train", 24, 24, 1, (RATE,)),
        ("dev", 2, 2, 1, (RATE,)),
    ]
    assert render_report(report) == (
        "train: 24 utterances; 0.4 min; 1 speaker; 8000 Hz\n"
        "dev: 2 utterances; 0.0 min; 1 speaker; 8000 Hz\n"
        "\n"
        "Nothing wrong found in 26 utterances.\n"
    )


def test_segments_of_one_long_file_are_clean(corpus):
    path = corpus.add(speech(12.0, seed=9)).path
    train = [
        Utterance(id=f"s{n}", path=path, text=TEXTS[n % 3], offset=n, duration=1.0)
        for n in range(12)
    ]

    assert check({"train": train}).findings == ()


def test_no_sets_and_empty_sets_are_clean():
    assert check({}).findings == ()
    assert check({"train": []}).items == 0


# --- recordings -------------------------------------------------------------------------------


def test_missing_empty_cut_and_foreign_files_are_fatal_and_say_why(corpus):
    train = corpus.set_of(8)
    train[1].path.unlink()
    train[2].path.write_bytes(b"")
    train[3].path.write_bytes(train[3].path.read_bytes()[:8_044])
    samples = speech(1.0, seed=4)
    samples[800] = np.nan
    soundfile.write(train[4].path, samples, RATE, subtype="FLOAT")

    report = check({"train": train})

    assert [(f.kind, f.items) for f in report.fatal] == [
        (Kind.MISSING, ("u1",)),
        (Kind.UNREADABLE, ("u2",)),
        (Kind.UNREADABLE, ("u3",)),
        (Kind.UNREADABLE, ("u4",)),
    ]
    reasons = ["no such file", "empty (0 bytes)", "0.500 s of 1.000 s", "NaN or infinite"]
    for finding, reason in zip(report.fatal, reasons, strict=True):
        assert finding.message.startswith(f"utterance '{finding.items[0]}': ")
        assert reason in finding.message
    assert report.sets[0].read == 4


def test_channels_that_differ_need_a_choice(corpus):
    pair = np.stack([speech(1.0, seed=50), speech(1.0, seed=51)], axis=1)
    train = [*corpus.set_of(6), corpus.add(pair), corpus.add(pair, channel=2)]

    report = check({"train": train})

    assert [(f.kind, f.items) for f in report.fatal] == [
        (Kind.CHANNEL, ("u6",)),
        (Kind.CHANNEL, ("u7",)),
    ]
    assert '"channel": 0 to 1' in report.fatal[0].message
    assert "channel 2 was asked for but there are 2" in report.fatal[1].message


def test_each_channel_of_a_file_can_be_an_utterance(corpus):
    pair = np.stack([speech(1.0, seed=50), speech(1.0, seed=51)], axis=1)
    first = corpus.add(pair, channel=0)
    second = dataclasses.replace(first, id="other", channel=1)

    assert check({"train": [first, second]}, alphabet=build_alphabet(TEXTS)).fatal == ()


def test_silence_is_named_unless_the_text_says_so(corpus):
    quiet = speech(1.0, seed=7) * 1e-3
    train = [
        *corpus.set_of(6),
        corpus.add(quiet),
        corpus.add(quiet * 0),
        corpus.add(quiet, text=""),
    ]

    silent = [f for f in check({"train": train}).findings if f.kind is Kind.SILENT]

    assert [f.items for f in silent] == [("u6",), ("u7",)]
    assert "dBFS" in silent[0].message
    assert "digital zero" in silent[1].message


def test_clipping_is_named_with_its_share(corpus):
    train = [*corpus.set_of(6), corpus.add((speech(1.0, seed=8) * 20).clip(-1, 1))]

    finding = only(check({"train": train}))

    assert (finding.kind, finding.items) == (Kind.CLIPPED, ("u6",))


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        ([1, 1, 1, 0], 0.75),
        ([1, 1, 0, 1], 0.0),  # peaks that merely touch full scale
        ([-1, -1, -1, -1], 1.0),
        ([0, 1, 1, 1, 0, 1, 0, 1, 1, 1], 0.6),
        ([1, 1], 0.0),
    ],
)
def test_clipping_counts_runs_of_three(samples, share):
    assert clipped_share(np.array(samples, dtype=np.float32)) == pytest.approx(share)


def test_dc_offset_is_named_with_its_size(corpus):
    train = [*corpus.set_of(6), corpus.add(speech(1.0, seed=8) * 0.3 + 0.125)]

    finding = only(check({"train": train}))

    assert (finding.kind, finding.items) == (Kind.DC_OFFSET, ("u6",))
    assert "+0.12" in finding.message


def test_a_duration_that_leaves_part_of_a_file_unused_is_named(corpus):
    train = [*corpus.set_of(6, duration=1.0), corpus.add(speech(2.0, seed=8), duration=1.5)]

    finding = only(check({"train": train}))

    assert (finding.kind, finding.items) == (Kind.DURATION, ("u6",))
    assert "`duration` is 1.500 s but its file lasts 2.000 s" in finding.message


def test_a_duration_beyond_the_end_is_fatal(corpus):
    train = [*corpus.set_of(6), corpus.add(duration=2.5)]

    assert "which is 1.000 s long" in only(check({"train": train})).message


def test_the_same_samples_under_two_ids_are_named_whatever_the_format(corpus):
    train = corpus.set_of(6)
    samples, _ = soundfile.read(train[0].path, dtype="float32")
    flac = corpus.folder / "again.flac"
    soundfile.write(flac, samples, RATE)
    train.append(Utterance(id="again", path=flac, text="three"))

    finding = only(check({"train": train}))

    assert (finding.kind, finding.items) == (Kind.DUPLICATE, ("u0", "again"))
    assert "with different texts: 'one two', 'three'" in finding.message


def test_mixed_rates_and_channel_counts_are_counted_by_set(corpus):
    stereo = np.stack([speech(1.0, seed=50)] * 2, axis=1)
    train = [*corpus.set_of(6), corpus.add(np.repeat(speech(1.0, seed=60), 2), rate=2 * RATE)]

    report = check({"train": train, "dev": [corpus.add(stereo, text="one one two")]})

    by_kind = report.by_kind()
    assert set(by_kind) == {Kind.RATE_MIX, Kind.CHANNEL_MIX, Kind.RESAMPLED}
    assert by_kind[Kind.RATE_MIX][0].message == (
        "train: 6 with 8000 Hz, 1 with 16000 Hz; dev: 1 with 8000 Hz"
    )
    assert by_kind[Kind.RATE_MIX][0].items == ("u6",)
    assert by_kind[Kind.RESAMPLED][0].message == (
        "1 recording at 16000 Hz will be resampled to 8000 Hz"
    )
    assert by_kind[Kind.CHANNEL_MIX][0].items == ("u7",)


def test_text_far_too_long_or_short_for_its_recording_is_named(corpus):
    train = corpus.set_of(30)
    train.append(corpus.add(text="one two three " * 6 + "one"))
    train.append(corpus.add(speech(9.0, seed=90), text="one"))

    report = check({"train": train})

    assert [(f.kind, f.items) for f in report.findings] == [
        (Kind.SPEECH_RATE, ("u30",)),
        (Kind.SPEECH_RATE, ("u31",)),
    ]


# --- alphabet and alignment -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "frames"), [((), 0), ((1,), 1), ((1, 2), 2), ((1, 1), 3), ((1, 1, 1, 2, 2), 8)]
)
def test_required_frames_count_a_blank_per_adjacent_repeat(labels, frames):
    assert frames_needed(labels) == frames


@pytest.mark.parametrize(("frames", "fits"), [(5, False), (6, True)])
def test_an_utterance_is_infeasible_exactly_below_its_required_frames(corpus, frames, fits):
    text = "three"  # five labels, one repeat: six frames
    item = corpus.add(speech(frames * HOP / RATE, seed=3), text=text)

    report = check({"train": [*corpus.set_of(6), item]})

    named = [f for f in report.fatal if f.kind is Kind.TOO_FEW_FRAMES]
    if fits:
        assert named == []
    else:
        assert named[0].message == (
            "utterance 'u0': 5 encoder frames cannot hold 5 labels with 1 adjacent repeats (CTC "
            "needs 6 frames); have fewer frames made one (encoder.stride, encoder.reduce_after) or "
            "leave the utterance out of the manifest"
        )


def test_frames_are_counted_at_the_models_rate(corpus):
    item = corpus.add(speech(0.1, seed=3), text="three", rate=RATE // 2)  # 0.2 s: 20 frames

    report = check({"train": [*corpus.set_of(6), item]}, num_frames=lambda n: n // 266)

    assert [f.items for f in report.fatal] == []  # 1,600 samples; its own 800 would give 3


def test_dev_text_outside_the_training_alphabet_is_fatal(corpus):
    report = check({"dev": [corpus.add(text="four")], "train": corpus.set_of(6)})

    (finding,) = report.fatal
    assert (finding.kind, finding.sets, finding.items) == (
        Kind.OUTSIDE_ALPHABET,
        ("dev",),
        ("u0",),
    )
    assert "'f' (U+0066 LATIN SMALL LETTER F)" in finding.message


def test_words_can_be_the_unit(corpus):
    report = check(
        {"train": corpus.set_of(6), "dev": [corpus.add(text="one four")]}, unit=Unit.WORD
    )

    assert "no label for 'four'" in report.fatal[0].message


def test_a_set_without_any_text_is_unlabelled_and_nothing_worse(corpus):
    train = [dataclasses.replace(u, text=None) for u in corpus.set_of(3)]

    report = check({"train": train})

    assert {f.kind for f in report.findings} == {Kind.UNLABELLED}


# --- leaks ------------------------------------------------------------------------------------


def test_one_recording_in_two_sets_is_fatal(corpus):
    train = corpus.set_of(6)
    copy = corpus.folder / "copy.wav"
    copy.write_bytes(train[2].path.read_bytes())

    report = check({"train": train, "test": [Utterance(id="t", path=copy, text="one one")]})

    assert [(f.kind, f.sets, f.items) for f in report.findings] == [
        (Kind.SHARED_RECORDING, ("train", "test"), ("t",))
    ]
    assert report.fatal[0].message == "1 recording of test also in train: 'u2 = t'"


def segments(long, *spans, **fields):
    """Utterances "a", "b", ... from (start, end) seconds of one file."""
    return [
        dataclasses.replace(long, id=name, offset=start, duration=end and end - start, **fields)
        for name, (start, end) in zip("abcdef", spans, strict=False)
    ]


def test_segments_that_overlap_across_sets_are_fatal(corpus):
    long = corpus.add(speech(8.0, seed=0), text="one two")
    train = [*corpus.set_of(4), *segments(long, (0.0, 2.0), (2.0, 4.0))]
    test = segments(long, (3.5, 5.0), (4.0, 6.0), (6.0, None))
    test = [dataclasses.replace(u, id=f"t{u.id}") for u in test]

    report = check({"train": train, "test": test})

    (found,) = report.fatal
    assert (found.kind, found.sets) == (Kind.SHARED_STRETCH, ("train", "test"))
    assert found.items == ("ta",)  # the others only touch
    assert found.message == "1 segment of test partly in train: 'ta over b in r0.wav'"
    rest = [dataclasses.replace(long, id="rest", offset=1.0)]  # to the end of the file
    assert [f.items for f in check({"train": train, "dev": test, "test": rest}).fatal] == [
        ("ta",),
        ("rest",),
        ("rest",),
    ]


def test_the_same_segment_in_two_sets_is_told_of_once(corpus):
    long = corpus.add(speech(4.0, seed=0), text="one two")
    (train,), (test,) = segments(long, (0.0, 2.0)), segments(long, (0.0, 2.0))

    report = check({"train": [train], "test": [dataclasses.replace(test, id="t")]})

    assert [f.kind for f in report.fatal] == [Kind.SHARED_RECORDING]


@pytest.mark.parametrize(
    ("end", "channel", "fatal"),
    [(2.05, 0, 0), (2.15, 0, 1), (4.0, 0, 1), (4.0, 1, 0)],
)
def test_rounded_edges_and_other_channels_do_not_overlap(corpus, end, channel, fatal):
    both = np.stack([speech(4.0, seed=0), speech(4.0, seed=1)], axis=1)
    long = corpus.add(both, text="one two")
    train = segments(long, (0.0, end), channel=channel)
    test = [dataclasses.replace(long, id="t", offset=2.0, duration=2.0, channel=0)]

    assert len(check({"train": train, "test": test}).fatal) == fatal


def test_shared_speakers_groups_texts_and_ids_are_warnings_with_counts(corpus):
    train = [*corpus.set_of(6, speaker="ann"), corpus.add(text="one", group="page 1")]
    test = [
        corpus.add(text="one two", speaker="ann", group="page 1"),
        corpus.add(text="two", speaker="bob", group="page 2"),
    ]
    test[0] = dataclasses.replace(test[0], id="u0")

    report = check({"train": train, "test": test})

    assert report.fatal == ()
    assert [f.message for f in report.warnings] == [
        "1 id of test also in train: 'u0'",
        "1 speaker of test (1 of its 2 utterances) also in train: 'ann'",
        "1 group of test (1 of its 2 utterances) also in train: 'page 1'",
        "1 of 2 utterances of test have a text that is also in train: 'one two'",
    ]


def test_splits_inside_one_manifest_are_sets(corpus):
    items = [
        *corpus.set_of(6, split="train", speaker="ann"),
        corpus.add(text="one one", split="test", speaker="ann"),
    ]

    report = check({"all": items})

    assert [s.name for s in report.sets] == ["train", "test"]
    assert only(report).kind is Kind.SHARED_SPEAKER


def test_two_silent_recordings_are_not_one_recording(corpus):
    zero = np.zeros(RATE, np.float32)
    train = [*corpus.set_of(6), corpus.add(zero, text=""), corpus.add(zero, text="")]
    test = [corpus.add(zero, text="")]

    assert {f.kind for f in check({"train": train, "test": test}).findings} == {Kind.EMPTY_TEXT}


# --- the run ----------------------------------------------------------------------------------


def test_a_sample_reads_part_says_so_and_is_the_same_each_time(corpus):
    train = corpus.set_of(12)
    for utterance in train[:6]:
        utterance.path.unlink()

    first, second = (check({"train": train}, sample=5) for _ in range(2))

    assert first == second
    assert first.notes[-1].message == (
        "train: 5 of 12 items were read; the others may hide defects"
    )
    assert first.sets[0].read + len(first.fatal) == 5
    assert list(first.fatal) == sorted(first.fatal, key=lambda finding: finding.items)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_report_does_not_depend_on_the_number_of_threads(corpus, workers):
    train = corpus.set_of(12)
    train[3].path.unlink()
    train[9].path.write_bytes(b"")

    assert check({"train": train}, workers=workers) == check({"train": train}, workers=2)


def test_progress_counts_every_recording(corpus):
    told = []

    check({"train": corpus.set_of(3)}, progress=lambda done, of: told.append((done, of)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_report_groups_counts_shortens_and_says_what_to_do(corpus):
    train = corpus.set_of(12)
    for utterance in train[:5]:
        utterance.path.unlink()

    text = render_report(check({"train": train}))

    assert "FATAL: left out of training, or a score would mean nothing\n" in text
    assert "  missing: 5 utterances\n    utterance 'u0': " in text
    assert "'u2'" in text
    assert "'u3'" not in text
    assert "    and 2 more\n    -> correct the paths, or take the lines out\n" in text
    assert text.endswith("\nFound: 5 fatal, 0 warnings, 0 notes.\n")


def test_the_files_hold_every_finding(corpus, tmp_path):
    train = corpus.set_of(12)
    for utterance in train[:5]:
        utterance.path.unlink()
    report = check({"train": train})

    write_report(report, tmp_path / "out")

    stored = json.loads((tmp_path / "out" / "check.json").read_text(encoding="utf-8"))
    markdown = (tmp_path / "out" / "check.md").read_text(encoding="utf-8")
    assert stored == report.to_json()
    assert [f["items"] for f in stored["findings"]] == [["u0"], ["u1"], ["u2"], ["u3"], ["u4"]]
    assert stored["findings"][0]["severity"] == "fatal"
    assert all(f"'u{n}'" in markdown for n in range(5))


def test_every_kind_has_a_severity_and_a_next_step():
    assert all(kind.severity in Severity and kind.next_step for kind in Kind)


# --- what train asks --------------------------------------------------------------------------


def usable_of(utterances, **options):
    requirements = Requirements(
        alphabet=build_alphabet(TEXTS),
        rules=("nfc", "whitespace"),
        medium=options.pop("medium", MEDIUM),
        num_frames=num_frames,
    )
    return find_usable(utterances, requirements, **options)


def test_what_cannot_be_learned_is_put_aside_by_name_and_reason(corpus):
    pair = np.stack([speech(1.0, seed=50), speech(1.0, seed=51)], axis=1)
    good = corpus.add()
    gone, cut = corpus.add(), corpus.add()
    gone.path.unlink()
    cut.path.write_bytes(cut.path.read_bytes()[:8_044])
    unlabelled = dataclasses.replace(corpus.add(), id="unlabelled", text=None)
    foreign = corpus.add(text="four")
    short = corpus.add(speech(0.05, seed=3), text="three")
    mixed, chosen = corpus.add(pair), corpus.add(pair, channel=1)
    silence = corpus.add(text="")

    usable, unusable = usable_of(
        [good, gone, cut, unlabelled, foreign, short, mixed, chosen, silence]
    )

    assert usable == [(good, 1.0), (chosen, 1.0), (silence, 1.0)]
    assert [(bad.id, bad.kind) for bad in unusable] == [
        (gone.id, "missing"),
        (cut.id, "unreadable"),
        ("unlabelled", "unlabelled"),
        (foreign.id, "outside alphabet"),
        (short.id, "too few frames"),
        (mixed.id, "channel"),
    ]
    assert all(repr(bad.id) in bad.message for bad in unusable)


def test_seconds_are_those_of_the_segment_at_the_models_rate(corpus):
    item = corpus.add(speech(2.0, seed=1), offset=0.5, duration=1.0001)

    medium = without_augmentation(FrontendConfig(sample_rate=3 * RATE))

    ((_, seconds),), _ = usable_of([item], medium=medium)

    assert round(seconds * 3 * RATE) == 3 * 8_001


def test_train_leaves_out_what_check_calls_fatal(corpus):
    train = corpus.set_of(8)
    train[1].path.unlink()
    train[2] = dataclasses.replace(train[2], duration=4.0)
    train[3] = corpus.add(speech(0.03, seed=3), text="three")
    train[4] = corpus.add(text="four")

    _, unusable = usable_of(train)
    report = check({"train": train}, alphabet=build_alphabet(TEXTS))

    assert {bad.id for bad in unusable} == {item for f in report.fatal for item in f.items}


@pytest.mark.corpus
def test_yesno_has_one_speaker_and_no_other_finding(request):
    from ctcasr.manifest.json_lines import read_manifest

    path = request.config.rootpath.parent / "shared" / "data" / "yesno" / "manifest.jsonl"
    report = check({"yesno": read_manifest(path)})

    assert report.items == 60
    assert set(report.by_kind()) == {Kind.SHARED_SPEAKER}
