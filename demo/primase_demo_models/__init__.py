"""The weights that `primase serve --demo` answers with: a folder for each family, and no code."""
