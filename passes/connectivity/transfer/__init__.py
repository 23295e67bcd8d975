"""From the host to a device: threads fill a ring of pinned buffers, from which pieces are copied in their order.

Entry: `ring.Ring`, `masks.mask_on`.
May import: ir.
"""
