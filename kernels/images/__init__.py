"""Convolution as an implicit product: images in borders of zeros, and tables that say where its factors lie."""
