"""Tasks that wait for others: who waits for whom, and what the end of one brings to the others."""
