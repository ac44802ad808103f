"""Docks that show a study and change its settings; they never compute."""
