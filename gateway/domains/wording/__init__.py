"""The words of the hand-out, a table for each language. Facts stand in {braces}."""
