"""The three matrix products of backpropagation, as register tiles.

    affine_forward          out = x @ W + b               (N, M) = (N, D) @ (D, M)
    affine_backward_params  dW = x.T @ dout, db           (D, M) = (D, N) @ (N, M)
    affine_backward_input   dx = dout @ W.T               (N, D) = (N, M) @ (M, D)

All three are one loop: a panel of B, a few vectors wide, is copied to scratch in the order in which it is read, and
tiles of rows of A sweep over it (`panels`), each by one call of an inner loop that only multiplies and adds
(`microkernel`). A is read where it lies, but for a wide dW, and for an A of another dtype, of which a part at a time is
converted. What is done with a finished tile stands in `product`. Where a sum has few terms, or the result few rows,
B is read where it lies (`in_place`); few columns and single terms have loops of their own (`edges`). `kernels.affine`
gives them all their signatures.

Every element of a result is summed in one order, which depends on the shapes of the whole product and not on the tile
it was computed in: chains of multiply-adds in the order of k, one for each panel, or for a few last columns and very
small batches a dot product, a vector of terms at a time. So a product may be cut into ranges [lo, hi) of rows anywhere:
the bits stay. One chain for all terms would be wrong in the fifth digit of float32 after 60,000 terms of one sign.
"""

from fastbp.kernels.build.flags import inlined, shared
from fastbp.kernels.matmul.edges import (
    column_sums,
    columns_as_rows,
    columns_in_scratch,
    dot_products,
    last_columns_of_dW,
    single_element,
    single_terms,
    turned_dW,
)
from fastbp.kernels.matmul.in_place import (
    forward_of_few_rows,
    forward_of_one_row,
    narrow_dW_and_sums,
    products_in_place,
)
from fastbp.kernels.matmul.panels import panels
from fastbp.kernels.matmul.product import (
    COLLIDING_TERMS,
    COLLIDING_TERMS_OF_X,
    COLUMNS_OF_DOTS,
    FEW_DOT,
    FEW_ROWS,
    FEW_ROWS_OF_DOTS,
    FEW_ROWS_OF_RESULT,
    FEW_TERMS,
    FORWARD,
    INPUT,
    LAST_COLUMNS_VECTORS,
    PARAMS,
    ROWS_DOT,
    ROWS_IN_PLACE,
    SMALL_PARAMS,
    SMALL_SIDE,
    TURNED_COLUMNS,
    TURNED_VECTORS,
    WIDE,
    Ahead,
    Product,
    few_last_columns,
    lines_collide,
)
from fastbp.kernels.tiles import address_as_bytes, address_as_int64, lanes_of, reinterpret, zeros

_forward_dots, _input_dots = dot_products(columns_in_scratch), dot_products(columns_as_rows)


@inlined
def _bytes(pointer):
    return reinterpret(pointer, 0, address_as_bytes(0))  # masks of bool and of uint8 are one type


@inlined
def _nothing_ahead():
    return Ahead(address_as_bytes(0), 0, address_as_int64(0), 0, 0, 0, 0, 0)


@inlined
def _is_in_place(p):
    if p.kind == INPUT:
        return p.K <= FEW_TERMS and p.M <= WIDE * lanes_of(p.out)
    terms, rows = FEW_TERMS, FEW_ROWS_OF_RESULT
    if lines_collide(p.M, p.out):
        terms, rows = COLLIDING_TERMS, ROWS_IN_PLACE
    if p.kind == PARAMS and lines_collide(p.a_k, p.a):
        terms = COLLIDING_TERMS_OF_X
    elif p.M <= SMALL_SIDE and (p.kind == FORWARD or (SMALL_PARAMS and p.M > WIDE * lanes_of(p.out))):
        terms = SMALL_SIDE
    return p.K <= terms or p.N <= rows


@inlined
def _is_narrow(p):
    """Whether dW has so few rows and columns that its tiles make db.

    Of np.dot with AVX-512, float64, and with a pass of its own for db: 1.03 and 0.82 at 4096 x 8 x 8, 0.99 and 0.84 at
    1000 x 10 x 10. Where there are more columns such a pass is a twentieth of the time (Zen 4).
    """
    return 1 < p.N <= FEW_ROWS_OF_RESULT and 1 < p.M <= 2 * lanes_of(p.out)


@inlined
def _is_turned(p):
    """Whether dW is made as its transpose: a vector along its columns would be half empty."""
    lanes = lanes_of(p.out)
    return TURNED_COLUMNS // 2 < p.M <= TURNED_COLUMNS < lanes and p.N >= TURNED_VECTORS * lanes


@inlined
def product(left, right, lo, hi, p, ahead):
    """Rows [lo, hi) and columns [left, right), by panels or in place: by the size of the whole product."""
    if _is_in_place(p):
        products_in_place(left, right, lo, hi, p)
    else:
        panels(left, right, lo, hi, p, ahead)


# --- the three products, by pointers ---
# Rows [lo, hi), or columns [left, right), of results: kernels split either over threads. Only products of more than
# FEW_DOT rows may be split by columns.


@shared
def forward_rows(lo, hi, left, right, N, D, M, x, W, b, out, mask, rectified, scratch):
    """out = x @ W + b, the columns [left, right); if rectified its ReLU, and the mask of that."""
    if N > FEW_ROWS:
        forward_many_rows(lo, hi, left, right, N, D, M, x, W, b, out, mask, rectified, scratch)
    else:
        forward_few_rows(lo, hi, N, D, M, x, W, b, out, mask, rectified, scratch)


@shared
def forward_many_rows(lo, hi, left, right, N, D, M, x, W, b, out, mask, rectified, scratch):
    """The same where N is more than FEW_ROWS."""
    tail = few_last_columns(M, D, out)
    p = Product(FORWARD, x, D, 1, N, D, W, out, M, b, _bytes(mask), 0.0, rectified, scratch)
    if D == 1 and M == 1:
        single_terms(lo, hi, p)
    else:
        product(left, min(right, M - tail), lo, hi, p, _nothing_ahead())
    if tail and right == M and lo < hi:
        _forward_dots(zeros(ROWS_DOT, 1, out), M - tail, tail, lo, hi, p)


@shared
def forward_few_rows(lo, hi, N, D, M, x, W, b, out, mask, rectified, scratch):
    """The same of at most FEW_ROWS, all columns."""
    p = Product(FORWARD, x, D, 1, N, D, W, out, M, b, _bytes(mask), 0.0, rectified, scratch)
    if D == 1 and M == 1:
        single_terms(lo, hi, p)
    elif N == 1 and M == 1 and lo < hi:
        single_element(p)
    elif M == 1 and few_last_columns(M, D, out):
        _forward_dots(zeros(ROWS_DOT, 1, out), 0, 1, lo, hi, p)
    elif hi - lo == 1:
        forward_of_one_row(lo, p)
    elif lo < hi:
        forward_of_few_rows(lo, hi, p)


@shared
def backward_params_rows(lo, hi, left, right, N, D, M, dout, x, alpha, adds, dW, db, scratch):
    """dW = x.T @ dout, or if it adds dW += alpha * x.T @ dout; db = the column sums of dout."""
    backward_params_rows_ahead(
        lo, hi, left, right, N, D, M, dout, x, float(alpha), adds, dW, db, scratch, _nothing_ahead()
    )


@shared
def backward_params_rows_ahead(lo, hi, left, right, N, D, M, dout, x, alpha, adds, dW, db, scratch, ahead):
    """The same, and prefetches what is read next."""
    tail, mask = few_last_columns(M, D, dW), address_as_bytes(0)
    p = Product(PARAMS, x, 1, D, D, N, dout, dW, M, db, mask, alpha, adds, scratch)
    makes_db, narrow = lo == 0 and (hi > 0 or D == 0), tail == 0 and _is_narrow(p)
    if makes_db and not narrow:
        column_sums(left, right, N, M, dout, db)
    if makes_db and narrow:
        narrow_dW_and_sums(left, right, lo, hi, p)
        return
    if N == 1 and M == 1:
        single_terms(lo, hi, p)
    elif N == 1 and D == 1:  # by dW.T = dout.T @ x
        q = Product(PARAMS, p.b, 1, 1, M, 1, p.a, dW, 1, dW, mask, alpha, adds, scratch)
        single_terms(0, M * (hi - lo), q)
    elif D == 1 and M == 1:
        if lo < hi:
            single_element(p)
    elif _is_turned(p):
        turned_dW(zeros(TURNED_COLUMNS, TURNED_VECTORS, dW), lo, hi, p)
    else:
        product(left, min(right, M - tail), lo, hi, p, ahead)
        if tail and right == M:
            last_columns_of_dW(zeros(2, LAST_COLUMNS_VECTORS, dW), tail, lo, hi, p)


@shared
def backward_input_rows(lo, hi, left, right, N, D, M, dout, mask, masked, W, dx, scratch):
    """dx = dout @ W.T, the columns [left, right); if masked 0 where the mask is on."""
    tail = few_last_columns(D, M, dx)
    few = N <= FEW_DOT or D <= lanes_of(dx) or (N <= FEW_ROWS_OF_DOTS and D <= COLUMNS_OF_DOTS)
    if few and M >= 256:  # too few rows to pay for transposing W
        tail = D
    mask = _bytes(mask)
    p = Product(INPUT, dout, M, 1, N, M, W, dx, D, dx, mask, 0.0, masked, scratch)
    if N == 1 and lo < hi:  # dx.T = W @ dout.T: the rows of both are read along
        q = Product(INPUT, W, M, 1, D, M, dout, dx, 1, dx, mask, 0.0, masked, scratch)
        if M == 1:
            single_terms(0, D, q)
        else:
            _input_dots(zeros(ROWS_DOT, 1, dx), 0, 1, 0, D, q)
    elif D == 1 and M == 1:
        single_terms(lo, hi, p)
    else:
        product(left, min(right, D - tail), lo, hi, p, _nothing_ahead())
        for j in range(D - tail, D if right == D else 0, lanes_of(dx)):
            if -(-N // FEW_DOT) * FEW_DOT <= -(-N // ROWS_DOT) * ROWS_DOT:  # fewer rows of its tiles are none of dx
                _input_dots(zeros(FEW_DOT, 1, dx), j, min(D - j, lanes_of(dx)), lo, hi, p)
            else:
                _input_dots(zeros(ROWS_DOT, 1, dx), j, min(D - j, lanes_of(dx)), lo, hi, p)
