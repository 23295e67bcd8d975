"""Models as bytes: fields of protobuf found and written without a schema, weights left where they lie.

Entry: `wire.hollow`, `wire.fill`.
May import: ir.files.
"""
