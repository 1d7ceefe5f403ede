"""The commands that call a server, and the files that they read and write."""
