"""Which medium goes with which frontend: the one list of all modalities."""

from typing import Any

from ctcasr.frontends.image.augmentation import NO_IMAGE_AUGMENTATION, ImageAugmentConfig
from ctcasr.frontends.image.features import ImageFrontendConfig
from ctcasr.frontends.image.line_images import LineImages
from ctcasr.frontends.ink.augmentation import NO_INK_AUGMENTATION, InkAugmentConfig
from ctcasr.frontends.ink.features import InkFrontendConfig
from ctcasr.frontends.ink.pen_strokes import PenStrokes
from ctcasr.frontends.medium import Medium
from ctcasr.frontends.sound.augmentation import NO_AUGMENTATION, AugmentConfig
from ctcasr.frontends.sound.recordings import Recordings
from ctcasr.frontends.sound.spectral import FrontendConfig

Frontend = FrontendConfig | InkFrontendConfig | ImageFrontendConfig
Augment = AugmentConfig | InkAugmentConfig | ImageAugmentConfig


def make_medium(frontend: Frontend, augment: Augment) -> Medium[Any, Any]:
    """Return the medium of two sections of a configuration, which must be of one modality."""
    match frontend, augment:
        case FrontendConfig(), AugmentConfig():
            return Recordings(frontend, augment)
        case InkFrontendConfig(), InkAugmentConfig():
            return PenStrokes(frontend, augment)
        case ImageFrontendConfig(), ImageAugmentConfig():
            return LineImages(frontend, augment)
        case _:
            raise TypeError(f"{type(frontend).__name__} does not go with {type(augment).__name__}")


def without_augmentation(frontend: Frontend) -> Medium[Any, Any]:
    """Return the medium of a frontend that leaves items as they are."""
    match frontend:
        case FrontendConfig():
            return Recordings(frontend, NO_AUGMENTATION)
        case InkFrontendConfig():
            return PenStrokes(frontend, NO_INK_AUGMENTATION)
        case ImageFrontendConfig():
            return LineImages(frontend, NO_IMAGE_AUGMENTATION)
