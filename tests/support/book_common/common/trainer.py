# ruff: noqa: F403, F405, B006
import os
import sys

sys.path.append(os.pardir)
import numpy as np

from common.optimizer import *


class Trainer:
    def __init__(
        self,
        network,
        x_train,
        t_train,
        x_test,
        t_test,
        epochs=20,
        mini_batch_size=100,
        optimizer="SGD",
        optimizer_param={"lr": 0.01},
        evaluate_sample_num_per_epoch=None,
        verbose=True,
    ):
        self.network, self.verbose, self.epochs, self.batch_size = network, verbose, epochs, mini_batch_size
        self.x_train, self.t_train, self.x_test, self.t_test = x_train, t_train, x_test, t_test
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        known = {cls.__name__.lower(): cls for cls in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)}
        self.optimizer = known[optimizer.lower()](**optimizer_param)
        self.train_size = len(x_train)
        self.iter_per_epoch = max(self.train_size / mini_batch_size, 1)
        self.max_iter = int(epochs * self.iter_per_epoch)
        self.current_iter, self.current_epoch = 0, 0
        self.train_loss_list, self.train_acc_list, self.test_acc_list = [], [], []

    def train_step(self):
        batch = np.random.choice(self.train_size, self.batch_size)
        x, t = self.x_train[batch], self.t_train[batch]
        self.optimizer.update(self.network.params, self.network.gradient(x, t))
        self.train_loss_list.append(self.network.loss(x, t))
        if self.verbose:
            print("train loss:" + str(self.train_loss_list[-1]))
        if self.current_iter % self.iter_per_epoch == 0:
            self.current_epoch += 1
            first = slice(self.evaluate_sample_num_per_epoch)
            self.train_acc_list.append(self.network.accuracy(self.x_train[first], self.t_train[first]))
            self.test_acc_list.append(self.network.accuracy(self.x_test[first], self.t_test[first]))
            if self.verbose:
                accuracies = f"train acc:{self.train_acc_list[-1]}, test acc:{self.test_acc_list[-1]}"
                print(f"=== epoch:{self.current_epoch}, {accuracies} ===")
        self.current_iter += 1

    def train(self):
        for _ in range(self.max_iter):
            self.train_step()
        final = self.network.accuracy(self.x_test, self.t_test)
        if self.verbose:
            print("=============== Final Test Accuracy ===============")
            print("test acc:" + str(final))
