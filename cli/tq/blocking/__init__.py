"""What the blocking client can do, a class for each subject."""
