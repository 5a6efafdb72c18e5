"""The command line: what it prints, asks, draws, and how far it has come."""
