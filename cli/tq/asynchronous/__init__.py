"""What the asynchronous client can do, a class for each subject."""
