"""The first weights of a recurrent layer, by name.

Each gate's matrix is drawn by itself, as if it were a layer of its own: one draw over the stacked
gates would take the number of gates for units.

Sources: Glorot and Bengio 2010 (Xavier); He et al. 2015, arXiv:1502.01852; LeCun et al. 1998,
"Efficient BackProp", section 4.6; Saxe et al. 2014, arXiv:1312.6120 (orthogonal); Le et al. 2015,
arXiv:1504.00941 (identity, for the ReLU RNN); Jozefowicz et al. 2015, section 5 (forget bias).
"""

from enum import StrEnum
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from ctcasr.settings import Section


class WeightInit(StrEnum):
    """How a matrix of fan-in I and fan-out O is drawn."""

    XAVIER = "xavier"
    HE = "he"
    LECUN = "lecun"
    ORTHOGONAL = "orthogonal"
    IDENTITY = "identity"


class InitConfig(Section):
    """The recurrent layers' first weights. Section `encoder.init` of a run's YAML file."""

    input: WeightInit = WeightInit.XAVIER
    """Of the weights from a layer's input, for each gate: `xavier` (variance 2 / (inputs + units)),
    `he` (2 / inputs), `lecun` (1 / inputs), or `orthogonal`."""

    recurrent: WeightInit = WeightInit.ORTHOGONAL
    """Of the weights from a layer's last state: the same, or `identity`, which the ReLU RNN needs
    to remember (Le et al. 2015)."""

    forget_bias: float = 1.0
    """First bias of the LSTM's forget gate; above 0 it starts open, and gradients pass from the
    first step on. Other biases start at 0."""

    @model_validator(mode="after")
    def _identity_is_square(self) -> Self:
        if self.input is WeightInit.IDENTITY:
            raise ValueError(
                "input: identity is a square matrix; it is for init.recurrent, choose another here"
            )
        return self


def initialise(recurrence: nn.RNNBase | nn.RNNCellBase, config: InitConfig) -> None:
    """Draw the weights of one layer's one direction, or of a cell, in place, gate by gate."""
    hidden = recurrence.hidden_size
    for name, parameter in recurrence.named_parameters():
        with torch.no_grad():
            if name.startswith("bias"):
                parameter.zero_()
                if name.startswith("bias_ih") and isinstance(recurrence, nn.LSTM | nn.LSTMCell):
                    # gates in order: in, forget, cell, out
                    parameter[hidden : 2 * hidden] = config.forget_bias
                continue
            kind = config.input if name.startswith("weight_ih") else config.recurrent
            for gate in torch.split(parameter, hidden):
                draw_weights(gate, kind)


def draw_weights(matrix: Tensor, kind: WeightInit) -> None:
    """Draw a matrix (units, inputs) in place; uniform, but for orthogonal and identity."""
    match kind:
        case WeightInit.XAVIER:
            nn.init.xavier_uniform_(matrix)
        case WeightInit.HE:
            nn.init.kaiming_uniform_(matrix, nonlinearity="relu")
        case WeightInit.LECUN:
            nn.init.kaiming_uniform_(matrix, nonlinearity="linear")
        case WeightInit.ORTHOGONAL:
            nn.init.orthogonal_(matrix)
        case WeightInit.IDENTITY:
            nn.init.eye_(matrix)
