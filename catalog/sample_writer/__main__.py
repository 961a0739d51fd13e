"""Rebuilds the bundled sample and its planted counts."""

from catalog.sample_writer.build import main

if __name__ == "__main__":
    main()
