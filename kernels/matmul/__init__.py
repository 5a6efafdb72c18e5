"""The three matrix products: their sizes, panels, edges, and what is done with a finished tile."""
