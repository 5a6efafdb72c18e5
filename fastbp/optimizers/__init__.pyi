# The list of optimizers: a new one needs its line here.
from fastbp.optimizers.adagrad import AdaGrad as AdaGrad
from fastbp.optimizers.adam import Adam as Adam
from fastbp.optimizers.momentum import Momentum as Momentum
from fastbp.optimizers.nesterov import Nesterov as Nesterov
from fastbp.optimizers.optimizer import Optimizer as Optimizer
from fastbp.optimizers.rmsprop import RMSprop as RMSprop
from fastbp.optimizers.sgd import SGD as SGD
