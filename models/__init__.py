"""Models that know their own truth: built from a seed, with the blocks that hide in them."""
