//! Target lists.
