//! Parts of modules besides their code: the rights that they request, and signatures.
//!
//! Requested rights are a text in the custom section `portcullis.rights`, which grants nothing. A signature is a custom section at the end of the module, as `wasmsign` writes it and Envoy's library can check it.
//!
//! | part | bytes |
//! |---|---|
//! | section id | `0x00` |
//! | size of the section, name included | one byte |
//! | length of the name, and the name | `signature`, or `signature_wasmsign` |
//! | algorithm | `2`, four bytes, little-endian: Ed25519 |
//! | signature | 64 bytes, of SHA-512(`WasmSignature` ‖ four zero bytes ‖ the module up to the section) |
//!
//! differs: Envoy's library takes the first section of the name, and one key that is compiled into it. Here a second section of either
//! name, a section behind it, and a length that is not written in one byte are refused, so that nothing that is not signed can be added
//! to a module; and one of several keys is enough, so that keys can be exchanged.
//!
//! ```
//! use portcullis::package::{PrivateKey, PublicKeys, sign, verify};
//!
//! let private = PrivateKey::from_pem(
//!     "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
//! )?;
//! let keys = PublicKeys::read("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")?;
//! let module = sign(b"\0asm\x01\0\0\0", &private)?;
//! verify(&module, &keys)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod key;
mod rights;
mod signature;

pub use key::{KeyError, PrivateKey, PublicKeys};
pub use rights::{MOST_REQUESTED, RequestError, requested_rights, with_requested_rights};
pub use signature::{SignError, VerifyError, sign, verify};
