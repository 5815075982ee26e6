"""What helps to write a plugin: the scaffold and the check. Nothing of a running gateway imports it."""
