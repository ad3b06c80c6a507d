"""Windows and convolutions as loops over cells and taps, float64."""

import numpy as np


def positions(size, window, stride, padding):
    """Yields (output index, tap, input index), inside only.

    `padding` is "same", TensorFlow's, or "symmetric", PyTorch's window // 2.
    """
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + window - size, 0) // 2
    if padding == "symmetric":
        before = window // 2
    for output in range(outputs):
        for tap in range(window):
            index = output * stride - before + tap
            if 0 <= index < size:
                yield output, tap, index


def _cells(x, window, stride, padding):
    rows = positions(x.shape[1], window, stride, padding)
    columns = list(positions(x.shape[2], window, stride, padding))
    for row in rows:
        for column in columns:
            yield row, column


def _output_like(x, stride, value):
    b, h, w, c = x.shape
    return np.full((b, -(-h // stride), -(-w // stride), c), value, np.float64)


def depthwise(x, kernel, stride, padding):
    """Returns each channel of [b h w c] convolved with its own kernel [k k c]."""
    y = _output_like(x, stride, 0.0)
    for (i, ti, si), (j, tj, sj) in _cells(x, kernel.shape[0], stride, padding):
        y[:, i, j] += x[:, si, sj] * kernel[ti, tj]
    return y


def depthwise_gradients(x, kernel, stride, padding, gradient):
    """Returns the gradients of sum(depthwise(x, kernel) * gradient)."""
    x_gradient, kernel_gradient = np.zeros(x.shape), np.zeros(kernel.shape)
    for (i, ti, si), (j, tj, sj) in _cells(x, kernel.shape[0], stride, padding):
        x_gradient[:, si, sj] += gradient[:, i, j] * kernel[ti, tj]
        kernel_gradient[ti, tj] += (x[:, si, sj] * gradient[:, i, j]).sum(0)
    return x_gradient, kernel_gradient


def full(x, kernel, stride, padding):
    """Returns [b h w c] convolved with a kernel [k k c d]."""
    y = np.repeat(_output_like(x[..., :1], stride, 0.0), kernel.shape[3], axis=3)
    for (i, ti, si), (j, tj, sj) in _cells(x, kernel.shape[0], stride, padding):
        y[:, i, j] += x[:, si, sj] @ kernel[ti, tj]
    return y


def full_gradient(x, window, stride, padding, gradient):
    """Returns the kernel's gradient of sum(full(x, kernel) * gradient)."""
    found = np.zeros((window, window, x.shape[3], gradient.shape[3]))
    for (i, ti, si), (j, tj, sj) in _cells(x, window, stride, padding):
        found[ti, tj] += x[:, si, sj].T @ gradient[:, i, j]
    return found


def max_pool(x, window, stride, padding):
    """Returns the largest value of every window; the padding is never the largest."""
    y = _output_like(x, stride, -np.inf)
    for (i, _, si), (j, _, sj) in _cells(x, window, stride, padding):
        y[:, i, j] = np.maximum(y[:, i, j], x[:, si, sj])
    return y


def numerical_gradient(fn, x, step=1e-6):
    """Returns the central differences of the scalar `fn` at the float64 array `x`."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (fn(up) - fn(down)) / (2 * step)
    return gradient
