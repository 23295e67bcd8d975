"""In which forms data are read, as help and errors say it."""

__all__ = ["FORMS"]

FORMS = ".npz, .npy, .csv, .parquet, a folder of samples, or module:function that yields them"
