# Copyright (c) mmbombo contributors.
from .stock_checkpoint import StockCheckpoint

__all__ = ['StockCheckpoint']
