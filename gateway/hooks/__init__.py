"""Plugins in the core: loading them (`loader`), calling them (`runner`), and what their failures do (`policy`)."""
