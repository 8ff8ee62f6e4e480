//! Envoy's foreign functions, with the same names and messages.

mod compress;
mod filter_state;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod property;
mod signature;

use portcullis_core::resources::ForeignFunctions;

/// Returns Envoy's foreign functions, except those of its expression language:
///
/// * `compress`, `uncompress`: zlib (RFC 1950), arguments and results to 16 MiB. `BadArgument` for more,
///   `SerializationFailure` for what is not zlib's, `InternalFailure` for a result that is too long.
/// * `clear_route_cache`: chooses the route of the stream anew.
/// * `set_envoy_filter_state`: sets an object of the stream's filter state (`SetEnvoyFilterStateArguments`), and so
///   steers TCP streams whose embedder obeys [`Steering`](portcullis_core::model::Steering). The keys are in COMPATIBILITY.md.
///   differs: the life span is that of the request, whatever is asked for.
/// * `declare_property`: declares a property that streams of the plugin will have
///   (`DeclarePropertyArguments`); a read-only one is set once.
/// * `verify_signature`, `sign`: RSA (PKCS #1 v1.5, 2048 bits and more) and ECDSA on P-256 and P-384, with
///   SHA-256, SHA-384, SHA-512, and for verification of RSA SHA-1. What is wrong with keys and signatures
///   stands in the result.
///
/// Each answers `BadArgument` for arguments that are not its message.
///
/// ```
/// let functions = portcullis::foreign::envoy_functions();
/// assert!(functions.names().contains(&"compress"));
/// ```
pub fn envoy_functions() -> ForeignFunctions {
    ForeignFunctions::default()
        .with("compress", compress::compress)
        .with("uncompress", compress::uncompress)
        .with("clear_route_cache", |call| {
            call.clear_route_cache();
            Ok(())
        })
        .with("set_envoy_filter_state", property::set_filter_state)
        .with("declare_property", property::declare)
        .with("verify_signature", signature::verify)
        .with("sign", signature::sign)
}
