"""The three matrix products of backpropagation, as register tiles.

    affine_forward          out = x @ W + b               (N, M) = (N, D) @ (D, M)
    affine_backward_params  dW = x.T @ dout, db           (D, M) = (D, N) @ (N, M)
    affine_backward_input   dx = dout @ W.T               (N, D) = (N, M) @ (M, D)

All three are one loop: a panel of B, a few vectors wide, is copied to scratch in the order in which it is read, and
tiles of rows of A sweep over it (`panels`). A is read where it lies, but for a wide dW, and for an A of another dtype,
of which a part at a time is converted. What differs between the products is put in as functions when this module is
loaded: how a tile begins, how it is finished (`product`), how a panel is filled. Few rows, few columns and single terms
have loops of their own (`edges`). `kernels.affine` gives them all their signatures.

Every element of a result is summed in one order, which depends on the shapes of the whole product and not on the tile
it was computed in: chains of multiply-adds in the order of k, one for each panel, or for a few last columns and very
small batches a dot product, a vector of terms at a time. So a product may be cut into ranges [lo, hi) of rows anywhere:
the bits stay. One chain for all terms would be wrong in the fifth digit of float32 after 60,000 terms of one sign.
"""

from fastbp.kernels.build.flags import merged, shared
from fastbp.kernels.matmul.edges import (
    column_sum,
    columns_as_rows,
    columns_in_scratch,
    dot_products,
    few_rows,
    row_as_sums,
    single_element,
    single_terms,
    turned_columns,
)
from fastbp.kernels.matmul.panels import (
    as_it_lies,
    ask_for_columns,
    ask_for_nothing,
    ask_for_rows,
    copying,
    copying_and_summing,
    panels,
    reading,
    reading_ahead,
    transposed,
)
from fastbp.kernels.matmul.product import (
    FEW,
    FEW_DOT,
    ROWS_DOT,
    TURNED,
    Product,
    added,
    begin_bias,
    begin_zero,
    relu,
    unmasked,
)
from fastbp.kernels.tiles import lanes_of, zeros


@merged
def _tail(columns, terms, like):
    """How many last columns a vector would hold so few of that they are better computed in another way.

    A fourth, masked vector for 2 columns of 50 gave 0.66 of the peak at 100 x 784 x 50; dot products give 0.84.
    """
    lanes = lanes_of(like)
    return columns % lanes if columns % lanes <= lanes // 4 and terms >= 4 * lanes else 0


_forward_panels = panels(begin_bias, relu, as_it_lies, copying, ask_for_rows)
_forward_short, _forward_dots = few_rows(begin_bias, relu), dot_products(begin_bias, relu, columns_in_scratch)
_forward_term, _forward_element = single_terms(begin_bias, relu), single_element(begin_bias, relu)
_params_term, _params_element = single_terms(begin_zero, added), single_element(begin_zero, added)
_input_panels = panels(begin_zero, unmasked, transposed, reading, ask_for_columns)
_input_dots, _input_term = dot_products(begin_zero, unmasked, columns_as_rows), single_terms(begin_zero, unmasked)


# --- the three products, by pointers ---
# Rows [lo, hi), or columns [left, right), of results: kernels split either over threads. Only products of more than
# FEW_DOT rows may be split by columns. They are called, not merged: an Affine's kernels compile in 28 s, not in 41.


@shared
def forward_rows(lo, hi, left, right, N, D, M, x, W, b, out, mask, rectified, scratch):
    """out = x @ W + b, the columns [left, right); if rectified its ReLU, and the mask of that."""
    tail = _tail(M, D, out) if N > FEW or M == 1 else 0
    p = Product(x, D, 1, N, D, W, out, M, b, mask, None, rectified, None, scratch, None)
    if D == 1 and M == 1:
        _forward_term(lo, hi, p)
    elif N == 1 and M == 1 and lo < hi:
        _forward_element(p)
    elif tail == 0 and 0 < hi - lo <= FEW:
        _forward_short(lo, hi, p)
    else:
        _forward_panels(left, min(right, M - tail), lo, hi, p)
    if tail and right == M and lo < hi and N > 1:
        _forward_dots(zeros(ROWS_DOT, 1, out), M - tail, tail, lo, hi, p)


def _backward_params(read):
    sweep = panels(begin_zero, added, as_it_lies, copying_and_summing, ask_for_nothing, read, packs=True)

    @shared
    def backward_params_rows(lo, hi, left, right, N, D, M, dout, x, alpha, adds, dW, db, scratch, ahead):
        """dW = x.T @ dout, or if it adds dW += alpha * x.T @ dout; db = the column sums of dout."""
        tail = _tail(M, D, dW)
        p = Product(x, 1, D, D, N, dout, dW, M, None, None, alpha, adds, db, scratch, ahead)
        thin = (N == 1 and (D == 1 or M == 1)) or (D == 1 and M == 1)
        if thin and N == 1 and lo == 0:
            row_as_sums(p)
        elif (D == 0 or thin) and lo == 0:  # no tile passes over dout
            for j in range(M):
                column_sum(p, j)
        if N == 1 and M == 1:
            _params_term(lo, hi, p)
        elif N == 1 and D == 1:  # by dW.T = dout.T @ x
            _params_term(
                0, M * (hi - lo), Product(p.b, 1, 1, M, 1, p.a, dW, 1, None, None, alpha, adds, None, scratch, ahead)
            )
        elif D == 1 and M == 1:
            if lo < hi:
                _params_element(p)
        else:
            sweep(left, min(right, M - tail), lo, hi, p)
            if tail and right == M:
                turned_columns(zeros(2, TURNED, dW), tail, lo, hi, p)

    return backward_params_rows


backward_params_rows = _backward_params(reading)
backward_params_rows_ahead = _backward_params(reading_ahead)


@shared
def backward_input_rows(lo, hi, left, right, N, D, M, dout, mask, masked, W, dx, scratch):
    """dx = dout @ W.T, the columns [left, right); if masked 0 where the mask is on."""
    tail = _tail(D, M, dx)
    if (N <= FEW_DOT or D <= lanes_of(dx)) and M >= 256:  # too few rows to pay for transposing W
        tail = D
    p = Product(dout, M, 1, N, M, W, dx, D, None, mask, None, masked, None, scratch, None)
    if N == 1 and lo < hi:  # dx.T = W @ dout.T: the rows of both are read along
        q = Product(W, M, 1, D, M, dout, dx, 1, None, mask, None, masked, None, scratch, None)
        if M == 1:
            _input_term(0, D, q)
        else:
            _input_dots(zeros(ROWS_DOT, 1, dx), 0, 1, 0, D, q)
    elif D == 1 and M == 1:
        _input_term(lo, hi, p)
    else:
        _input_panels(left, min(right, D - tail), lo, hi, p)
        for j in range(D - tail, D if right == D else 0, lanes_of(dx)):
            if -(-N // FEW_DOT) * FEW_DOT <= -(-N // ROWS_DOT) * ROWS_DOT:  # fewer rows of its tiles are none of dx
                _input_dots(zeros(FEW_DOT, 1, dx), j, min(D - j, lanes_of(dx)), lo, hi, p)
            else:
                _input_dots(zeros(ROWS_DOT, 1, dx), j, min(D - j, lanes_of(dx)), lo, hi, p)
