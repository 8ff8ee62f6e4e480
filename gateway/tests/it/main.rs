//! The gateway: over real sockets as its users meet it (`e2e`), its transport alone (`net`), its configuration.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod config;
mod e2e;
mod guests;
mod net;
mod pasted;
mod plugins_file;
mod routes;
mod timeouts_page;
