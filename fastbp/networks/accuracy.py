"""The share of samples that a network gets right."""

import numpy as np
from numpy.typing import ArrayLike

from fastbp.boundary.labels import class_scores, network_targets


def share_right(scores: ArrayLike, t: ArrayLike) -> float:
    """The share of samples, 0 to 1, whose highest score is at the label. ValueError and TypeError as in `accuracy`."""
    scores, shape = class_scores(scores)
    labels = network_targets(t, shape, scores.dtype)
    if labels.ndim == 2:
        labels = np.argmax(labels, axis=1)
    return float(np.mean(np.argmax(scores, axis=1) == labels))
