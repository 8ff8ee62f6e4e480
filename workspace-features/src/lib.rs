//! No code: its manifest is what it is for.
