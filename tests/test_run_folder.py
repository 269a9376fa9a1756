import json

import pytest
import yaml

from ctcasr.config import parse_config
from ctcasr.errors import RunFolderError
from ctcasr.pipeline.run_folder import RunFolder, flatten

CONFIG = parse_config({})
MANIFESTS = {"train": "1" * 64, "dev": "2" * 64}


@pytest.fixture
def begun(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(CONFIG, manifests=MANIFESTS)
    return folder


def refusal(folder, *, config=CONFIG, manifests=MANIFESTS, resume=True):
    with pytest.raises(RunFolderError) as caught:
        folder.require_ready(config, manifests=manifests, resume=resume)
    return str(caught.value)


@pytest.mark.parametrize("resume", [True, False])
def test_a_new_or_empty_folder_is_ready(tmp_path, resume):
    for path in (tmp_path, tmp_path / "new" / "one"):
        RunFolder(path).require_ready(CONFIG, manifests=MANIFESTS, resume=resume)


def test_a_folder_that_is_not_empty_is_refused_without_resume(begun):
    assert refusal(begun, resume=False) == (
        f"{begun.path}: not empty; add --resume to go on with the run there, or name another folder"
    )
    begun.require_ready(CONFIG, manifests=MANIFESTS, resume=True)


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "run").touch()
    assert refusal(RunFolder(tmp_path / "run")) == (
        f"{tmp_path / 'run'}: a file; name a folder for the run"
    )


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl", "model.safetensors"])
def test_what_may_be_somebodys_run_is_not_begun_over(tmp_path, name):
    (tmp_path / name).write_text("somebody's", encoding="utf-8")
    assert refusal(RunFolder(tmp_path)) == (
        f"{tmp_path / name}: of a run that nobody knows, without its config.yaml; put that back, "
        f"or name another folder"
    )


def test_other_files_are_no_obstacle_to_a_run_that_may_go_on(tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / ".config.yaml.x1.tmp").touch()  # killed while it wrote its first file
    folder = RunFolder(tmp_path)

    folder.require_ready(CONFIG, manifests=MANIFESTS, resume=True)
    folder.begin(CONFIG, manifests=MANIFESTS)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.yaml", "manifests", "run.json"]


def test_what_a_killed_run_left_half_written_is_removed_and_nothing_else(begun):
    kept = [begun.path / "checkpoints" / "step-00000004" / "state.json", begun.path / ".mine"]
    kept[0].parent.mkdir(parents=True)
    litter = [
        begun.path / ".log.txt.x.tmp",
        begun.path / "checkpoints" / ".step-00000008.tmp" / "state.json",
        begun.path / "checkpoints" / "step-00000004" / ".state.json.x.tmp",
    ]
    litter[1].parent.mkdir()
    for path in [*kept, *litter]:
        path.touch()

    begun.begin(CONFIG, manifests=MANIFESTS)

    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in [*litter, litter[1].parent])


def test_changed_keys_are_named(begun):
    other = parse_config({"optim": {"peak_lr": 0.5}, "seed": 3})
    assert refusal(begun, config=other) == (
        f"{begun.path}: cannot go on, since these keys have changed: optim.peak_lr "
        f"({CONFIG.optim.peak_lr} -> 0.5), seed (1 -> 3); set them back, or begin in another folder"
    )


def test_a_key_younger_than_the_run_had_its_default(begun):
    stored = yaml.safe_load((begun.path / "config.yaml").read_text(encoding="utf-8"))
    del stored["augment"]["warp"], stored["training"]["patience"]
    (begun.path / "config.yaml").write_text(yaml.safe_dump(stored), encoding="utf-8")

    begun.require_ready(CONFIG, manifests=MANIFESTS, resume=True)
    other = parse_config({"training": {"patience": 2}})
    assert "training.patience (None -> 2)" in refusal(begun, config=other)


def test_what_cannot_change_the_result_may_change(begun):
    other = parse_config(
        {
            "data": {"workers": 0, "cache_mb": 1, "train": "moved.jsonl", "max_unreadable": 0},
            "training": {"checkpoint_minutes": 1, "keep_checkpoints": 9},
            "decode": {"beam": 9, "hotwords": {"zoo": 3}},
            "score": {"rules": ["lowercase"]},
        }
    )
    begun.require_ready(other, manifests=MANIFESTS, resume=True)


@pytest.mark.parametrize("manifests", [MANIFESTS | {"dev": "3" * 64}, {"train": "1" * 64}])
def test_changed_manifests_are_named(begun, manifests):
    assert refusal(begun, manifests=manifests) == (
        f"{begun.path}: cannot go on, since these manifests have changed: dev; set them back, or "
        f"begin in another folder"
    )


@pytest.mark.parametrize("content", ["", "a: [", "- 1", "\x00"])
def test_a_damaged_configuration_is_refused(begun, content):
    (begun.path / "config.yaml").write_text(content, encoding="utf-8")
    assert "config.yaml: damaged" in refusal(begun)


def test_a_damaged_list_of_facts_is_refused(begun):
    (begun.path / "run.json").write_text('{"seed": 1', encoding="utf-8")
    assert "run.json: damaged" in refusal(begun)


def test_facts_are_added_to_those_before(begun):
    begun.write_facts(scores={"dev_cer": 0.5})
    begun.finish("finished")

    facts = json.loads((begun.path / "run.json").read_text(encoding="utf-8"))
    assert facts["scores"] == {"dev_cer": 0.5}
    assert (facts["status"], facts["seed"], facts["manifests"]) == ("finished", 1, MANIFESTS)
    assert facts["versions"]["torch"].startswith("2.11")


def test_sections_become_dotted_keys():
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {
        "a.b.c": 1,
        "a.d": [2],
        "e": None,
    }


def test_why_a_run_failed_is_forgotten_when_it_goes_on(begun):
    begun.finish("failed", reason="no data")
    assert begun.facts()["reason"] == "no data"

    begun.begin(CONFIG, manifests=MANIFESTS)

    assert begun.facts()["status"] == "running"
    assert "reason" not in begun.facts()
