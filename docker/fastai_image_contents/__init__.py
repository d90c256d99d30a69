"""What an image contains: `make sbom` and `make size`."""
