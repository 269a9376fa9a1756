"""Finding images: what their names end in, and where the one lies that a page's XML names."""

from pathlib import Path, PureWindowsPath

from ctcasr.manifest.readers.audio_lookup import AudioFinder

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Names that images end in, the first tried first; whether one can be read, reading tells."""

_USUAL_FOLDERS = ("images", "img", "jpg")


def is_image(path: Path) -> bool:
    """Tell by its suffix whether a file is an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def find_page_image(page: Path, named: str | None) -> Path | None:
    """Return the image of a PAGE or ALTO file: the one it names, or else one of its own name.

    It is looked for beside the XML, one folder up (as Transkribus lays them out), and in images,
    img and jpg beside either.
    """
    near = [page.parent, page.parent.parent]
    folders = [*near, *(folder / name for folder in near for name in _USUAL_FOLDERS)]
    finder = AudioFinder(folders, IMAGE_SUFFIXES)
    names = [*([named, PureWindowsPath(named).name] if named else []), page.stem]
    found = (finder.find(name) for name in names)
    return next((path for path in found if path is not None and is_image(path)), None)
