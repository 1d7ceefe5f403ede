"""More than one machine: replicas of models, where they run, and how calls find them."""
