"""The worker: claims tasks, runs their handlers, reports how they ended. Started by ``tq worker``."""
