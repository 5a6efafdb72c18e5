# The list of networks, and what goes with them.
from fastbp.networks.convolutional import DeepConvNet as DeepConvNet
from fastbp.networks.convolutional import SimpleConvNet as SimpleConvNet
from fastbp.networks.files import load_params as load_params
from fastbp.networks.files import save_params as save_params
from fastbp.networks.multi_layer_net import MultiLayerNet as MultiLayerNet
from fastbp.networks.multi_layer_net import MultiLayerNetExtend as MultiLayerNetExtend
from fastbp.networks.two_layer_net import TwoLayerNet as TwoLayerNet
