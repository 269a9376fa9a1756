"""The mistakes a user can make, one class per kind.

A `CtcasrError` carries one line: the item, what was found, what is needed, the next step. The
command line prints it without a traceback and exits with status 2. Anything else that escapes
is our own bug and exits with status 1.

    CtcasrError
    ├── ConfigError              a key or value of a configuration
    ├── ManifestError            a manifest, or a source that should become one
    ├── ItemError                one item, whatever it is
    │   ├── AudioError           one recording
    │   │   └── ChannelError     nobody knows which channel of it
    │   ├── InkError             one item of pen strokes
    │   └── ImageError           one image of a line
    ├── AlphabetError            text outside the labels a model has
    ├── InfeasibleAlignmentError text longer than the frames it must align with
    ├── ModelFileError           a model file or its name
    ├── RunFolderError           a run folder: its state, its checkpoints
    ├── TrainingError            a run that cannot go on
    ├── OutputError              a result that cannot be written
    ├── ScoringError             references and hypotheses that do not belong together
    ├── LexiconError             a list of words and their spellings
    ├── HotwordError             a word or phrase to be preferred
    ├── LanguageModelError       a language model, or the text it should be made of
    └── ToldElsewhereError       another process of the run has it, and tells it
"""


class CtcasrError(Exception):
    """A mistake the user can fix; its text is the whole message."""


class ConfigError(CtcasrError):
    """A key or value of a configuration is wrong."""


class ManifestError(CtcasrError):
    """A manifest, or a source that should become one, cannot be used."""


class ItemError(CtcasrError):
    """One item cannot be used."""


class AudioError(ItemError):
    """One recording cannot be used."""


class ChannelError(AudioError):
    """It is not known which channel of a recording is meant."""


class InkError(ItemError):
    """The pen strokes of one item cannot be used."""


class ImageError(ItemError):
    """The image of one line, or of its page, cannot be used."""


class AlphabetError(CtcasrError):
    """Text holds something the alphabet has no label for."""


class InfeasibleAlignmentError(CtcasrError):
    """A transcript needs more frames than the encoder gives, so its CTC loss is infinite."""

    def __init__(self, utterance_id: str, *, frames: int, labels: int, repeats: int) -> None:
        self.utterance_id = utterance_id
        super().__init__(
            f"utterance {utterance_id!r}: {frames} encoder frames cannot hold {labels} labels "
            f"with {repeats} adjacent repeats (CTC needs {labels + repeats} frames); "
            f"have fewer frames made one (encoder.stride, encoder.reduce_after) or leave the "
            f"utterance out of the manifest"
        )


class ModelFileError(CtcasrError):
    """A model file is missing, cut short, of another kind, or newer than this release."""


class RunFolderError(CtcasrError):
    """A run folder cannot be used as asked."""


class TrainingError(CtcasrError):
    """Training cannot go on."""


class OutputError(CtcasrError):
    """A result cannot be written where it was asked for."""


class ScoringError(CtcasrError):
    """References and hypotheses do not belong together."""


class LexiconError(CtcasrError):
    """A lexicon cannot be used, or a word of it cannot be written."""


class HotwordError(CtcasrError):
    """A hotword cannot be written, or its boost cannot be."""


class LanguageModelError(CtcasrError):
    """A language model, or the text that it should be made of, cannot be used."""


class ToldElsewhereError(CtcasrError):
    """This process ends as the first one of its run does, which tells why."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__("the first process of the run tells why it ended")
