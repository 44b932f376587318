"""Supply networks: stores, warehouses and suppliers, their orders, and what all of it costs."""
