"""What an operator can say to `primase serve`, in groups that are one setting each."""
