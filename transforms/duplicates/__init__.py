"""Which rows say the same: exactly, or nearly."""
