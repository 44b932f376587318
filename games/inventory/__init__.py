"""Supply networks: stores, warehouses and suppliers, their demand, orders and costs."""
