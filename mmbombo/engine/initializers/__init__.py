# Copyright (c) mmbombo contributors.
from .stock_checkpoint import StockCheckpoint, stock_checkpoint_as_ours

__all__ = ['StockCheckpoint', 'stock_checkpoint_as_ours']
