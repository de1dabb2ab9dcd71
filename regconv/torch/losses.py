"""The loss of a classification head, and which of the three it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regconv.configuration import PROBLEM_TYPES, AnyConfig


def classification_loss(logits: Tensor, labels: Tensor, config: AnyConfig) -> Tensor:
    """The mean loss, shape (), of logits (n, num_labels).

    labels: (n,) or (n, 1) integers for one label a picture, where -100 is left out; (n, num_labels) floats for several
    labels or for regression. A problem_type of None is settled by num_labels and the labels' dtype, and written to the
    config, where it stays. Raises ValueError for an unknown problem_type.
    """
    if config.problem_type is None:
        config.problem_type = _problem_type(labels, config.num_labels)
    labels = labels.to(logits.device)
    if config.problem_type == "regression":
        if config.num_labels == 1:
            return F.mse_loss(logits.squeeze(), labels.squeeze())
        return F.mse_loss(logits, labels)
    if config.problem_type == "single_label_classification":
        return F.cross_entropy(logits.view(-1, config.num_labels), labels.view(-1))
    if config.problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels)
    raise ValueError(f"problem_type got {config.problem_type!r}, expected one of {', '.join(PROBLEM_TYPES)} or None")


def _problem_type(labels: Tensor, num_labels: int) -> str:
    if num_labels == 1:
        return "regression"
    if num_labels > 1 and labels.dtype in (torch.int64, torch.int32):
        return "single_label_classification"
    return "multi_label_classification"
