import numpy as np


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, params, grads):
        for name in params:
            params[name] -= grads[name] * self.lr


class Momentum:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = {name: np.zeros_like(value) for name, value in params.items()}
        for name in params:
            self.v[name] = self.momentum * self.v[name] - self.lr * grads[name]
            params[name] += self.v[name]


class Nesterov:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = {name: np.zeros_like(value) for name, value in params.items()}
        for name in params:
            self.v[name] = self.momentum * self.v[name] - self.lr * grads[name]
            params[name] += self.momentum**2 * self.v[name] - (1 + self.momentum) * self.lr * grads[name]


class AdaGrad:
    def __init__(self, lr=0.01):
        self.lr, self.h = lr, None

    def update(self, params, grads):
        if self.h is None:
            self.h = {name: np.zeros_like(value) for name, value in params.items()}
        for name in params:
            self.h[name] += grads[name] ** 2
            params[name] -= self.lr * grads[name] / (1e-7 + np.sqrt(self.h[name]))


class RMSprop:
    def __init__(self, lr=0.01, decay_rate=0.99):
        self.lr, self.decay_rate, self.h = lr, decay_rate, None

    def update(self, params, grads):
        if self.h is None:
            self.h = {name: np.zeros_like(value) for name, value in params.items()}
        for name in params:
            self.h[name] = self.decay_rate * self.h[name] + (1 - self.decay_rate) * grads[name] ** 2
            params[name] -= self.lr * grads[name] / (1e-7 + np.sqrt(self.h[name]))


class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.iter, self.m, self.v = 0, None, None

    def update(self, params, grads):
        if self.m is None:
            self.m, self.v = ({name: np.zeros_like(value) for name, value in params.items()} for _ in "mv")
        self.iter += 1
        rate = self.lr * np.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        for name in params:
            self.m[name] += (grads[name] - self.m[name]) * (1 - self.beta1)
            self.v[name] += (grads[name] ** 2 - self.v[name]) * (1 - self.beta2)
            params[name] -= rate * self.m[name] / (1e-7 + np.sqrt(self.v[name]))
