"""Register tiles: small matrices in vector registers, their arithmetic, exponential, and a target's code for them."""
