"""Decision thresholds chosen on held-out scores."""

import numpy as np
import scipy.sparse as sp


def best_global_threshold(Y_true, scores):
    """Threshold that maximises micro-averaged F1 when every label uses the same one.

    Parameters
    ----------
    Y_true : sparse matrix or ndarray of shape (n, L), {0, 1}
        Held-out targets.
    scores : ndarray of shape (n, L)
        Held-out scores; larger means more likely.

    Returns
    -------
    threshold : float
        Midway between the last accepted and the first rejected score, so that a label is
        predicted where its score is larger. Without any positive, above every score.

    Notes
    -----
    Only the ``20 * nnz + n`` largest entries are sorted: with more of them accepted, F1 is
    below 0.1 whatever the scores. Cost O(n L + nnz log nnz).

    Examples
    --------
    >>> import numpy as np
    >>> best_global_threshold(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.2], [0.6, 0.5]]))
    0.35
    """
    Y_true = sp.csr_matrix(Y_true)
    scores = np.asarray(scores)
    n_positive = Y_true.nnz
    if n_positive == 0:
        return float(np.nextafter(scores.max(), np.inf)) if scores.size else 1.0
    flat = scores.ravel()
    n_kept = min(flat.size, 20 * n_positive + scores.shape[0])
    kept = np.argpartition(-flat, n_kept - 1)[:n_kept]
    kept = kept[np.argsort(-flat[kept], kind="stable")]
    rows, columns = np.divmod(kept, scores.shape[1])
    hits = np.cumsum(np.asarray(Y_true[rows, columns]).ravel())
    f1 = 2 * hits / (np.arange(1, n_kept + 1) + n_positive)
    ordered = flat[kept]
    is_cut = np.append(ordered[1:] < ordered[:-1], True)  # never inside a run of equal scores
    best = int(np.argmax(np.where(is_cut, f1, -1.0)))
    below = ordered[best + 1] if best + 1 < n_kept else ordered[best] - 1e-6
    return float(0.5 * (np.float64(ordered[best]) + np.float64(below)))
