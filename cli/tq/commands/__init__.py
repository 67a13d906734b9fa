"""The commands of ``tq``, one noun or verb per module. Nothing heavy is imported at module level."""
