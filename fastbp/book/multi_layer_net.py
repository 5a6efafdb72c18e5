# ruff: noqa: F401, F403  # what scripts import * from here, as from the book's
"""What stands in for the book's `common.multi_layer_net`."""

import os
import sys
from collections import OrderedDict

import numpy as np

from fastbp.book.gradient import numerical_gradient
from fastbp.book.layers import *
