"""What `primase demo` shows: six calls on real sequences."""
