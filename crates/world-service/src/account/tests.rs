//! The service as its callers meet it.
