"""What an image contains: its inventory, SBOM, licences and sizes. Imports none of this project's other packages."""
