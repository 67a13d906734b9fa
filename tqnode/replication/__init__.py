"""The log that Litestream writes: kept by a majority of nodes, applied by standbys."""
