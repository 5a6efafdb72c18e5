"""What the operating system gives: threads, files, interrupts."""
