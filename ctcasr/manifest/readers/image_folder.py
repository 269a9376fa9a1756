"""A folder of images of lines, each with its text in a file of the same name that ends in .gt.txt.

So kraken and OCRopus keep their training data. Where there is no .gt.txt, a .txt counts;
`a.bin.png` and `a.nrm.png`, made of `a.png` by OCRopus, belong to `a.gt.txt` too.
"""

from pathlib import Path

from ctcasr.manifest.ids import id_from_path
from ctcasr.manifest.readers.audio_lookup import walk_files
from ctcasr.manifest.readers.collecting import Collector
from ctcasr.manifest.readers.image_lookup import is_image
from ctcasr.manifest.readers.text_file import read_text
from ctcasr.manifest.utterance import Modality, Utterance

TEXT_SUFFIXES = (".gt.txt", ".txt")

_MADE_OF = (".bin", ".nrm")


def collect_line_images(folder: Path, collector: Collector) -> None:
    """Add every image under a folder, in order of path; without a text it is unlabelled.

    Where images lie in more than one folder, items of one folder are a group: a page, most often.

    Raises:
        ManifestError: a text file that is not text.
    """
    files = [path.relative_to(folder) for path in walk_files(folder)]
    images = [path for path in files if is_image(path)]
    texts = {path for path in files if path.name.lower().endswith(".txt")}
    grouped = len({path.parent for path in images}) > 1
    used = set()
    for image in images:
        text = next((path for path in _texts_of(image) if path in texts), None)
        used.add(text)
        utterance = Utterance(
            id="",
            path=folder / image,
            modality=Modality.IMAGE,
            text=None if text is None else read_text(folder / text, collector).strip(),
            group=id_from_path(image.parent) if grouped else None,
        )
        collector.add(str(image), utterance)
    for path in sorted(texts - used):
        collector.leave_out(str(path), "no image of the same name beside it")
    missing = sum(not any(path in texts for path in _texts_of(image)) for image in images)
    if missing:
        collector.note(f"{missing} of {len(images)} images have no .gt.txt and are unlabelled")


def _texts_of(image: Path) -> list[Path]:
    """Return the names that an image's text may have, the likeliest first."""
    bases = [image.with_suffix("")]
    if bases[0].suffix.lower() in _MADE_OF:
        bases.append(bases[0].with_suffix(""))
    return [base.with_name(base.name + suffix) for base in bases for suffix in TEXT_SUFFIXES]
