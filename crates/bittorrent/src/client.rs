//! Which client software a peer id names (BEP 20).
