"""The base of every configuration section: frozen, typed, and strict about its keys."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of a run's YAML file; it lives beside the code that it configures.

    The docstring under a field is its entry in the configuration reference.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )
