"""One thread for BLAS; it lives with the solvers."""

from napari_smoother.solvers.threads import one_blas_thread

__all__ = ["one_blas_thread"]
