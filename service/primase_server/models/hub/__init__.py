"""Official weights: what the hub has, pulled once, verified, and used without a network."""
