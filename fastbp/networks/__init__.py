"""The book's networks, on the layers of any namespace: `fastbp.layers` or `fastbp.reference`."""

from fastbp.networks.accuracy import share_right
from fastbp.networks.files import load_params, save_params
from fastbp.networks.two_layer_net import TwoLayerNet

__all__ = ["TwoLayerNet", "load_params", "save_params", "share_right"]
