"""Convolution as an implicit product: images unfolded a row at a time, and folded again."""
