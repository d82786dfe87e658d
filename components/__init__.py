"""One thin KFP component per step. They wire; the work is in `unlearning.steps`."""
