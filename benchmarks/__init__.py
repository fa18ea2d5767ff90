"""Headgate's measurements: ratios in one run, with the peer or the physical limit beside each figure."""
