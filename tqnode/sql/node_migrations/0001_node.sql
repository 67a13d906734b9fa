-- What is true of this node alone: who it is, whom it voted for, and its part of the log.
CREATE TABLE node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    node_id TEXT NOT NULL,
    cluster_id TEXT, -- NULL until the node belongs to a cluster
    fresh INTEGER NOT NULL CHECK (fresh IN (0, 1)),
    term INTEGER NOT NULL CHECK (term >= 0),
    holder TEXT NOT NULL,
    applied_term INTEGER NOT NULL CHECK (applied_term >= 0),
    applied_txid INTEGER NOT NULL CHECK (applied_txid >= 0),
    log_term INTEGER NOT NULL CHECK (log_term >= 0), -- of the entries: a damaged page that loses some of its
    log_first INTEGER NOT NULL CHECK (log_first >= 0), -- rows must not make the node forget what it
    log_last INTEGER NOT NULL CHECK (log_last >= 0), -- has acknowledged
    seal BLOB NOT NULL -- over all of the above: a flipped bit in a vote must not go unseen
);

-- Entries of one term, without a gap. Their bytes stand apart, so that the heads are quick to read.
CREATE TABLE entry (
    txid INTEGER PRIMARY KEY CHECK (txid >= 1),
    term INTEGER NOT NULL CHECK (term >= 1),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    prev_sha256 BLOB NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    file TEXT, -- name of the file with the bytes; NULL when they are in entry_bytes
    seal BLOB NOT NULL -- over the five of the head
);

CREATE TABLE entry_bytes (
    txid INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
);
