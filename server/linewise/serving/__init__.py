"""The model server: one process holds the model for all of a user's editors."""
