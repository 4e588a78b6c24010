"""Nodes whose outputs a ResultCache keeps."""
