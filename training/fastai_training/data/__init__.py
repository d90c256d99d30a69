"""From a channel's files to loaders: pictures, labels, the split, checks, decoding."""
