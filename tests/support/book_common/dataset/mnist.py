import os
import pickle

import numpy as np

save_file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mnist.pkl")


def _one_hot(labels):
    return np.eye(10)[labels]


def load_mnist(normalize=True, flatten=True, one_hot_label=False):
    with open(save_file, "rb") as stream:
        data = pickle.load(stream)
    parts = []
    for part in ("train", "test"):
        x, t = data[part + "_img"], data[part + "_label"]
        x = x.astype(np.float32) / 255 if normalize else x
        parts.append((x if flatten else x.reshape(-1, 1, 28, 28), _one_hot(t) if one_hot_label else t))
    return tuple(parts)
