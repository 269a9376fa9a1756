"""A folder of recordings, each with its text in a file of the same name that ends in .txt."""

from pathlib import Path

from ctcasr.manifest.ids import id_from_path
from ctcasr.manifest.readers.audio_lookup import is_audio, walk_files
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.text_file import read_text
from ctcasr.manifest.utterance import Utterance


def collect_folder(folder: Path, collector: Collector) -> None:
    """Add every recording under a folder, in order of path; without a .txt it is unlabelled.

    Where all recordings lie one folder deep, in more than one folder, those folders are named
    after the speakers. A .txt file without content says that nobody speaks.

    Raises:
        ManifestError: a .txt file that is not text.
    """
    files = [path.relative_to(folder) for path in walk_files(folder)]
    recordings = [path for path in files if is_audio(path)]
    texts = {id_from_path(path): path for path in files if path.suffix.lower() == ".txt"}
    folders = {path.parts[:-1] for path in recordings}
    by_speaker = len(folders) > 1 and all(len(parents) == 1 for parents in folders)
    labelled = set()
    for recording in recordings:
        name = id_from_path(recording)
        labelled.add(name)
        utterance = Utterance(
            id="",
            path=folder / recording,
            text=read_text(folder / texts[name], collector).strip() if name in texts else None,
            speaker=recording.parts[0] if by_speaker else None,
        )
        collector.add(str(recording), utterance)
    for name, path in texts.items():
        if name not in labelled:
            collector.leave_out(str(path), "no recording of the same name beside it")
    missing = sum(id_from_path(recording) not in texts for recording in recordings)
    if missing:
        collector.note(f"{missing} of {len(recordings)} recordings have no .txt and are unlabelled")
