"""Who may call: keys, what they allow, and how much."""
