"""ProGen2: proteins, drawn residue by residue and scored in both directions."""
