# The public names: what `fastbp.lazy` loads at their first use, and what type checkers see.
from fastbp import datasets as datasets
from fastbp import engine as engine
from fastbp import functions as functions
from fastbp import gradcheck as gradcheck
from fastbp import gradient as gradient
from fastbp import graph as graph
from fastbp import layers as layers
from fastbp import networks as networks
from fastbp import optimizers as optimizers
from fastbp import reference as reference
from fastbp import trainer as trainer
from fastbp import util as util
from fastbp.command.warmup import warmup as warmup
from fastbp.engine import NotCompilable as NotCompilable
from fastbp.engine import compile as compile
from fastbp.engine import fit_many as fit_many
from fastbp.engine import predict as predict
from fastbp.engine.check_layer import check_layer as check_layer
from fastbp.gradcheck import check_gradients as check_gradients
from fastbp.gradient import gradient_descent as gradient_descent
from fastbp.gradient import numerical_diff as numerical_diff
from fastbp.gradient import numerical_gradient as numerical_gradient
from fastbp.layers import *
from fastbp.layers.own import layer_kernels as layer_kernels
from fastbp.networks import *
from fastbp.optimizers import *
from fastbp.threads import get_num_threads as get_num_threads
from fastbp.threads import set_num_threads as set_num_threads
from fastbp.threads import threads as threads
from fastbp.trainer import Trainer as Trainer

__version__: str
