"""What every other package rests on: settings, errors, files, seeds, progress."""
