"""The three matrix products: their sizes, inner loops, panels, edges, and what is done with a finished tile."""
