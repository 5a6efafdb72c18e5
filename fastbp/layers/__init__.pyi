# The list of layers: a new one needs its line here.
from fastbp.layers.affine import Affine as Affine
from fastbp.layers.arithmetic import AddLayer as AddLayer
from fastbp.layers.arithmetic import MulLayer as MulLayer
from fastbp.layers.batch_normalization import BatchNormalization as BatchNormalization
from fastbp.layers.convolution import Convolution as Convolution
from fastbp.layers.dropout import Dropout as Dropout
from fastbp.layers.identity_loss import IdentityWithLoss as IdentityWithLoss
from fastbp.layers.leaky_relu import LeakyRelu as LeakyRelu
from fastbp.layers.pooling import Pooling as Pooling
from fastbp.layers.relu import Relu as Relu
from fastbp.layers.sigmoid import Sigmoid as Sigmoid
from fastbp.layers.softmax_loss import SoftmaxWithLoss as SoftmaxWithLoss
from fastbp.layers.tanh import Tanh as Tanh
