import numpy as np


def numerical_gradient(f, x):
    step = 1e-4
    slopes = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        kept = x[place]
        x[place] = kept + step
        above = f(x)
        x[place] = kept - step
        below = f(x)
        x[place] = kept
        slopes[place] = (above - below) / (2 * step)
    return slopes
