"""The compiled loop: its tables, the steps, the team of threads that takes them, and batches of samples."""
