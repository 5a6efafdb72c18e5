import numpy as np


def smooth_curve(x):
    window = np.kaiser(11, 2)
    mirrored = np.r_[x[10:0:-1], x, x[-1:-11:-1]]
    smooth = np.convolve(window / window.sum(), mirrored, mode="valid")
    return smooth[5:-5]


def shuffle_dataset(x, t):
    order = np.random.permutation(len(x))
    return x[order], t[order]


def conv_output_size(input_size, filter_size, stride=1, pad=0):
    return 1 + (input_size - filter_size + 2 * pad) / stride


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_data.shape
    rows, columns = 1 + (H + 2 * pad - filter_h) // stride, 1 + (W + 2 * pad - filter_w) // stride
    padded = np.pad(input_data, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    patches = np.zeros((N, rows, columns, C, filter_h, filter_w))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            patches[:, i, j] = padded[:, :, top : top + filter_h, left : left + filter_w]
    return patches.reshape(N * rows * columns, -1)


def col2im(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_shape
    rows, columns = 1 + (H + 2 * pad - filter_h) // stride, 1 + (W + 2 * pad - filter_w) // stride
    patches = col.reshape(N, rows, columns, C, filter_h, filter_w)
    padded = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            padded[:, :, top : top + filter_h, left : left + filter_w] += patches[:, i, j]
    return padded[:, :, pad : pad + H, pad : pad + W]
