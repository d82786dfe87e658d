"""Whether a method forgets sets of a size too small to audit: many simulated sets, audited together."""
