"""What turns docs/ into the documentation site, beside MkDocs: the site needs no network to be read."""
