import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from ctcasr.pipeline.compare import compare_folders, name_folders
from ctcasr.reporting.comparison import align_both, render_comparison
from ctcasr.scoring import Costs, Failed, Reference, score_utterances
from tests.sctk import needs_sctk, sc_stats_of

GOLDEN = Path(__file__).parent / "golden"

WORDS = ["one", "two", "three", "four", "five", "six"]


def references(*, num_speakers=24, each=4, seed=0):
    draw = np.random.default_rng(seed)
    return [
        Reference(f"u{number}", " ".join(draw.choice(WORDS, size=6)), f"s{number % num_speakers}")
        for number in range(num_speakers * each)
    ]


def outputs(said, *, rate, seed):
    """What a system makes of texts: each word is mistaken with probability `rate`."""
    draw = np.random.default_rng(seed)
    return {
        item.id: " ".join(
            word if draw.random() > rate else str(draw.choice(WORDS)) for word in item.text.split()
        )
        for item in said
    }


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a folder of results, and returns it."""

    def write_folder(name, said, heard, **options):
        folder = tmp_path / name
        folder.mkdir()
        record = score_utterances(said, heard, **options).to_json()
        (folder / "results.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return write_folder


@pytest.fixture
def two(write):
    said = references()
    return (
        write("old", said, outputs(said, rate=0.3, seed=1)),
        write("new", said, outputs(said, rate=0.1, seed=2)),
    )


def change(folder, edit):
    path = folder / "results.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    edit(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def test_the_better_system_is_named(ctcasr, two):
    ended = ctcasr("compare", *two)

    assert ended.status == 0
    assert ended.err == ""
    assert ended.out.startswith("# new against old\n")
    assert len(re.findall(r"new is better: equal systems differ as much in", ended.out)) == 5
    assert "95 % bootstrap intervals that draw whole speakers, 24." in ended.out
    assert "Warning" not in ended.out


def test_a_comparison_is_written_where_asked(ctcasr, two, tmp_path):
    ended = ctcasr("compare", *two, "-o", tmp_path / "out")

    record = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8") == ended.out
    assert ended.err == f"comparison: {tmp_path / 'out'}\n"
    assert [system["name"] for system in record["systems"]] == ["old", "new"]
    assert record["command"].endswith(f"compare {two[0]} {two[1]} -o {tmp_path / 'out'}")
    assert record["clusters"] == {"by": "speaker", "n": 24}
    (pair,) = record["comparisons"]
    assert pair["word"]["difference"] == pytest.approx(
        record["systems"][1]["word"]["rate"] - record["systems"][0]["word"]["rate"]
    )
    assert pair["word"]["ci95"][0] < pair["word"]["difference"] < pair["word"]["ci95"][1] < 0
    assert pair["word"]["p"] == pair["word"]["p_holm"] < 0.01
    assert len(pair["utterances"]) >= 10


def test_rates_are_those_that_scoring_found(two):
    record = compare_folders(two)

    for folder, system in zip(two, record["systems"], strict=True):
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        for part in ("word", "char", "sentence"):
            assert system[part] == results["raw"][part]


def test_equal_systems_do_not_differ(write):
    said = references()
    heard = outputs(said, rate=0.2, seed=1)

    record = compare_folders([write("a", said, heard), write("b", said, heard)])

    (pair,) = record["comparisons"]
    for test in ("word", "char", "sentence", "mapsswe", "mcnemar"):
        assert pair[test]["p"] == 1.0
    assert pair["utterances"] == []
    assert render_comparison(record).count("no difference") == 5


def test_several_systems_are_compared_with_the_first_and_corrected(ctcasr, write):
    said = references()
    folders = [
        write(f"s{seed}", said, outputs(said, rate=rate, seed=seed))
        for seed, rate in enumerate([0.2, 0.15, 0.3])
    ]

    ended = ctcasr("compare", *folders)
    record = compare_folders(folders)

    assert ended.out.startswith("# 2 systems against s0\n")
    assert "corrected for 2 comparisons (Holm)" in ended.out
    p_values = [pair["mcnemar"]["p"] for pair in record["comparisons"]]
    corrected = [pair["mcnemar"]["p_holm"] for pair in record["comparisons"]]
    assert min(corrected) == pytest.approx(min(1.0, 2 * min(p_values)))
    assert max(corrected) >= max(p_values)


def test_the_order_of_utterances_does_not_matter(two):
    expected = compare_folders(two)["comparisons"][0]["word"]
    change(two[1], lambda record: record["utterances"].reverse())

    assert compare_folders(two)["comparisons"][0]["word"] == expected


def test_rules_count_where_they_are_asked_for(ctcasr, write):
    said = [Reference(f"u{n}", "Good Day", f"s{n}") for n in range(4)]
    folders = [
        write(name, said, {item.id: text for item in said}, rules=("casefold",))
        for name, text in (("a", "Good Day"), ("b", "good day"))
    ]

    raw = ctcasr("compare", *folders)
    normalised = ctcasr("compare", *folders, "--normalised")

    assert "Text as it was written;" in raw.out
    assert "+100.00 [+100.00, +100.00] points" in raw.out
    assert "Text under the rules casefold;" in normalised.out
    assert "+0.00 [+0.00, +0.00] points" in normalised.out


def test_nist_costs_of_the_files_are_used(write):
    said = [Reference("u1", "a b", "s1"), Reference("u2", "a b", "s2")]
    folders = [
        write(name, said, {"u1": text, "u2": "a b"}, costs=Costs.NIST)
        for name, text in (("a", "b c"), ("b", "a b"))
    ]

    record = compare_folders(folders)

    assert record["costs"] == "nist"
    assert [record["systems"][0]["word"][part] for part in ("hit", "sub", "del", "ins")] == [
        3, 0, 1, 1
    ]  # fmt: skip


@needs_sctk
@pytest.mark.parametrize("seed", range(3))
def test_the_p_value_of_mapsswe_is_that_of_sc_stats(write, tmp_path, seed):
    said = references(seed=seed)
    heard = [outputs(said, rate=rate, seed=10 * seed + n) for n, rate in enumerate((0.2, 0.27))]
    folders = [
        write(name, said, texts, costs=Costs.NIST)
        for name, texts in zip(("a", "b"), heard, strict=True)
    ]

    (pair,) = compare_folders(folders)["comparisons"]

    printed = sc_stats_of(
        [item.text.split() for item in said],
        [[texts[item.id].split() for item in said] for texts in heard],
        tmp_path,
        *("-t", "mapsswe", "-u"),
    )
    found = re.search(r"MP +\|\|.*?([01]\.\d+)", printed)
    assert found, printed
    cut = math.floor(100 * abs(pair["mapsswe"]["z"])) / 100  # its table goes by two decimals of Z
    assert float(found[1]) == pytest.approx(max(2 * scipy.stats.norm.sf(cut), 0.001), abs=0.0006)
    assert pair["mapsswe"]["p"] == pytest.approx(float(found[1]), abs=0.004)


# What the bootstrap draws


def with_fields(folder, values):
    def edit(record):
        for item, value in zip(record["utterances"], values, strict=True):
            item["fields"] = {} if value is None else {"room": value}

    change(folder, edit)


def test_another_field_can_be_drawn(ctcasr, two):
    with_fields(two[0], [f"r{number % 30}" for number in range(96)])

    ended = ctcasr("compare", *two, "--cluster", "room")

    assert "draw whole rooms, 30." in ended.out


def test_an_unknown_field_is_refused_and_the_known_ones_are_named(ctcasr, two):
    with_fields(two[0], ["a", "b"] * 48)

    ended = ctcasr("compare", *two, "--cluster", "rom")

    assert ended.status == 2
    assert "--cluster rom: no utterance has this field; choose from: room, speaker" in ended.err


@pytest.mark.parametrize("num_speakers", [1, 5])
def test_few_speakers_are_warned_of_and_one_is_none(ctcasr, write, num_speakers):
    said = references(num_speakers=num_speakers, each=96 // num_speakers)
    folders = [write(name, said, outputs(said, rate=0.2, seed=n)) for n, name in enumerate("ab")]

    ended = ctcasr("compare", *folders)

    if num_speakers == 1:
        assert "that draw single utterances" in ended.out
        assert "They say nothing about other speakers." in ended.out
    else:
        assert "Warning: with fewer than 20 speakers" in ended.out


# Stated cases


def test_partial_results_are_marked(ctcasr, write):
    said = references()
    heard = outputs(said, rate=0.1, seed=1)
    folders = [write("a", said, heard), write("b", said, heard | {"u3": Failed("u3: broken")})]

    ended = ctcasr("compare", *folders)

    assert ended.status == 0
    assert ended.out.startswith("# [PARTIAL] b against a\n")
    assert "[PARTIAL] b: 1 of 96 items could not be decoded and count as empty output." in ended.out


def test_empty_references_are_counted_and_said(ctcasr, write):
    said = [*references(), Reference("silent", "", "s1")]
    heard = outputs(said, rate=0.1, seed=1)
    folders = [write("a", said, heard), write("b", said, heard | {"silent": "one"})]

    ended = ctcasr("compare", *folders)

    assert "Empty references: 1;" in ended.out
    assert "no clear difference: equal systems differ as much in 100 % of test sets" in ended.out
    assert "| b      |   576 |" in ended.out
    assert "b makes fewer word errors in 0 of 97 utterances, more in 1, as many in 96." in ended.out


def test_only_silence_cannot_be_judged(ctcasr, write):
    said = [Reference(name, "", name) for name in "xyz"]
    heard = {item.id: "" for item in said}

    ended = ctcasr("compare", write("a", said, heard), write("b", said, heard))

    assert ended.status == 0
    assert "n/a: nothing was said" in ended.out
    assert "cannot be judged" in ended.out


def drop_one(record):
    del record["utterances"][5]


def change_reference(record):
    record["utterances"][5]["ref"] = "six six six"


def change_rules(record):
    record["rules"] = ["nfc", "casefold"]


def change_costs(record):
    record["costs"] = "nist"


def make_newer(record):
    record["schema"] = 2


def drop_texts(record):
    del record["utterances"][7]["hyp"]


def double_an_id(record):
    record["utterances"][1]["id"] = record["utterances"][0]["id"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop_one, "old has 1 utterances that {new} has not: 'u5'; score both systems on the same"),
        (change_reference, "have different references for 1 of 96 utterances: 'u5'; 'u5' is "),
        (change_rules, "with the text rules nfc,whitespace, {new} with nfc,casefold; score one of"),
        (change_costs, "with levenshtein costs, {new} with nist; score one of them again with --c"),
        (make_newer, "schema 2 found, this release reads 1; evaluate or score again"),
        (drop_texts, "damaged (KeyError: 'hyp'); evaluate or score again"),
        (double_an_id, "damaged (ValueError: id 'u0' given twice); evaluate or score again"),
    ],
)
def test_results_that_cannot_be_compared_are_refused_in_one_line(ctcasr, two, edit, message):
    change(two[1], edit)

    ended = ctcasr("compare", *two)

    assert ended.status == 2
    assert message.format(new=two[1]) in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def test_folders_that_are_no_pair_are_refused(ctcasr, two, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text("{", encoding="utf-8")

    for folders, message in [
        (two[:1], "1 folder given; a comparison needs two at least"),
        ((two[0], two[0]), "given twice"),
        ((two[0], tmp_path / "gone"), "results.json: cannot be read (No such file or directory)"),
        ((two[0], tmp_path / "broken"), "results.json: not JSON"),
    ]:
        ended = ctcasr("compare", *folders)
        assert ended.status == 2
        assert message in ended.err
        assert ended.err.count("\n") == 1


def test_older_results_without_costs_and_fields_are_read(ctcasr, two):
    for folder in two:
        change(folder, lambda record: [record.pop("costs", None), record.pop("clusters", None)])

    assert ctcasr("compare", *two).status == 0


# Names and texts


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["exp/a/eval/test", "exp/b/eval/test"], ["a", "b"]),
        (["exp/a/eval/dev", "exp/a/eval/lm"], ["dev", "lm"]),
        (["a", "a/b"], ["a", "a/b"]),
        (["x/1/e", "y/2/e", "x/2/e"], ["x/1", "y/2", "x/2"]),
    ],
)
def test_systems_are_named_by_what_tells_their_folders_apart(folders, names):
    assert name_folders([Path(folder) for folder in folders]) == names


def test_both_outputs_stand_beside_the_reference():
    rows = align_both("a b c", "a x c d", "q a c", costs=Costs.LEVENSHTEIN)

    assert rows == [
        (None, None, "q"),
        ("a", "a", "a"),
        ("b", "x", None),
        ("c", "c", "c"),
        (None, "d", None),
    ]


class Reader(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


HOSTILE = "<script>alert(1)</script>"


def test_a_page_escapes_whatever_comes_from_users(write, tmp_path):
    said = [Reference(f"{n}<img>", f"{HOSTILE} שלום {n}", f"s{n}") for n in range(3)]
    folders = [
        write(name, said, {item.id: text for item in said})
        for name, text in (("<b>&", "<i>x</i>"), ("b", f"{HOSTILE} שלום"))
    ]

    compare_folders(folders, out=tmp_path / "out")

    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "i", "b", "img"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;&amp;" in page
    sources = [at for _, attrs in reader.tags for at in attrs if at in ("src", "srcset")]
    assert sources == []
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in reader.tags)


def test_right_to_left_texts_set_their_own_direction(write, tmp_path):
    said = [Reference(name, "שלום עולם", name) for name in "xyz"]
    folders = [
        write(name, said, {item.id: text for item in said})
        for name, text in (("a", "עולם"), ("b", "שלום עולם"))
    ]

    compare_folders(folders, out=tmp_path / "out")

    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    aligned = page[page.index('<div class="aligned') :]
    # dir="auto" looks for the first strong letter, and must find it in the text.
    for hidden in re.findall(r'<span class="(?:mark|pair names)"[^>]*>', aligned):
        assert 'dir="ltr"' in hidden
    assert aligned.startswith('<div class="aligned side-by-side" dir="auto"')


def test_the_whole_comparison(write):
    said = [
        Reference("u1", "the cat sat", "ann"),
        Reference("u2", "東京 です", "ben"),
        Reference("u3", "", "cem"),
        Reference("u4", "yes | no", "ann"),
    ]
    first = write("a", said, {"u1": "the hat sat down", "u2": "京都 です", "u3": "", "u4": "yes"})
    second = write("b", said, {"u1": "the cat sat", "u2": Failed("broken"), "u3": "oh", "u4": "no"})

    text = render_comparison(compare_folders([first, second]))

    path = GOLDEN / "comparison.md"
    if not path.exists():
        path.write_text(text, encoding="utf-8", newline="")
        pytest.fail(f"{path} was missing; it has been written: read it, then commit it")
    assert text == path.read_text(encoding="utf-8")
