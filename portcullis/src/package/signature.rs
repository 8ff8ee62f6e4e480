//! Signatures of modules.

use sha2::{Digest, Sha512};
use wasmparser::{Parser, Payload};

use super::key::{PrivateKey, PublicKeys};

/// The names of the section. Modules are signed under the first.
const NAMES: [&str; 2] = ["signature", "signature_wasmsign"];

/// Ed25519.
const ALGORITHM: u32 = 2;

/// The bytes of algorithm and signature.
const PAYLOAD: usize = 68;

/// Why a module does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The module cannot be read.
    #[error("it cannot be read as a module: {0}")]
    Unreadable(String),
    /// No section has the name.
    #[error("it is not signed: it has no custom section \"signature\"")]
    Unsigned,
    /// Two sections have the name.
    #[error("it has two custom sections \"signature\"")]
    Twice,
    /// Something is behind the section.
    #[error("its custom section \"signature\" is not the last section, so what is behind it is not signed")]
    NotLast,
    /// The lengths of the section or of its name are not written in one byte each.
    #[error("a length in its custom section \"signature\" is not written in the shortest form")]
    Length,
    /// The section has another size than algorithm and signature.
    #[error("its custom section \"signature\" has {0} bytes instead of 68")]
    Size(usize),
    /// The algorithm is not Ed25519.
    #[error("it is signed with algorithm {0}; only 2 (Ed25519) is known")]
    Algorithm(u32),
    /// No key fits: the module was altered, or signed with another key.
    #[error("none of the public keys fits its signature: it was altered, or signed with another key")]
    Mismatch,
}

/// Why a module cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The module cannot be read.
    #[error("it cannot be read as a module: {0}")]
    Unreadable(String),
    /// A section has the name already.
    #[error("it has a custom section \"signature\" already; sign the module as it was built")]
    Signed,
}

/// Checks that a module is signed with one of the keys, from its first byte to its last.
///
/// # Errors
/// Why it does not count as signed. Nothing of such a module should run.
pub fn verify(module: &[u8], keys: &PublicKeys) -> Result<(), VerifyError> {
    let Some(section) = find(module)? else { return Err(VerifyError::Unsigned) };
    let Some(signed) = section.signed_len().and_then(|length| module.get(..length)) else {
        return Err(VerifyError::Length);
    };
    let Some((algorithm, signature)) = section.payload.split_first_chunk::<4>() else {
        return Err(VerifyError::Size(section.payload.len()));
    };
    if section.payload.len() != PAYLOAD {
        return Err(VerifyError::Size(section.payload.len()));
    }
    match u32::from_le_bytes(*algorithm) {
        ALGORITHM if keys.fit(&digest(signed), signature) => Ok(()),
        ALGORITHM => Err(VerifyError::Mismatch),
        other => Err(VerifyError::Algorithm(other)),
    }
}

/// Returns the module with a signature at its end.
///
/// # Errors
/// The module cannot be read, or is signed already.
pub fn sign(module: &[u8], key: &PrivateKey) -> Result<Vec<u8>, SignError> {
    match find(module) {
        Ok(None) => {}
        Err(VerifyError::Unreadable(why)) => return Err(SignError::Unreadable(why)),
        Ok(Some(_)) | Err(_) => return Err(SignError::Signed),
    }
    let [name, _] = NAMES;
    let mut signed = Vec::with_capacity(module.len() + 3 + name.len() + PAYLOAD);
    signed.extend_from_slice(module);
    let lengths = [1 + name.len() + PAYLOAD, name.len()].map(|length| u8::try_from(length).unwrap_or(u8::MAX));
    signed.extend([0, lengths[0], lengths[1]]);
    signed.extend_from_slice(name.as_bytes());
    signed.extend_from_slice(&ALGORITHM.to_le_bytes());
    signed.extend_from_slice(&key.sign(&digest(module)));
    Ok(signed)
}

/// The one section of the name.
struct Section<'a> {
    module: &'a [u8],
    name: &'a str,
    payload: &'a [u8],
}

impl Section<'_> {
    /// Returns how many bytes are before the section, if its lengths are written in one byte each.
    fn signed_len(&self) -> Option<usize> {
        let content = 1 + self.name.len() + self.payload.len();
        let length = self.module.len().checked_sub(2 + content)?;
        let head = self.module.get(length..length + 3)?;
        let is_short = content < 0x80 && self.name.len() < 0x80;
        // Bytes below 0x80, so that each is a whole length.
        let wanted = [0, u8::try_from(content).ok()?, u8::try_from(self.name.len()).ok()?];
        (is_short && head == wanted).then_some(length)
    }
}

/// Returns the section, if the module has one and nothing behind it.
fn find(module: &[u8]) -> Result<Option<Section<'_>>, VerifyError> {
    let (mut found, mut is_last) = (None, true);
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|error| VerifyError::Unreadable(error.message().to_owned()))? {
            Payload::CustomSection(section) if NAMES.contains(&section.name()) => {
                if found.is_some() {
                    return Err(VerifyError::Twice);
                }
                is_last = section.range().end == module.len();
                found = Some(Section { module, name: section.name(), payload: section.data() });
            }
            _ => {}
        }
    }
    match found {
        Some(_) if !is_last => Err(VerifyError::NotLast),
        found => Ok(found),
    }
}

fn digest(signed: &[u8]) -> Vec<u8> {
    let digest = Sha512::new().chain_update("WasmSignature").chain_update([0; 4]).chain_update(signed);
    digest.finalize().to_vec()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The first test key of RFC 8032.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const OTHER: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    /// A module with one custom section.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\0\x05\x01abcd";

    /// Made by `openssl pkeyutl -sign -rawin` of the SHA-512 that `hashlib` has made.
    const BY_OPENSSL: &str = "324b88f721c9005242a4bd09831fd4277fc48569f1d8b8e5705bd43ff2ac296e\
                              812ac35fc1a71d77fa9bea06a174a4d368ce8b23b9731c722017c9d339729707";

    fn keys(text: &str) -> PublicKeys {
        PublicKeys::read(text).unwrap()
    }

    fn signed() -> Vec<u8> {
        sign(MODULE, &PrivateKey::from_pem(PRIVATE).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_is_what_other_tools_make_and_is_checked_by_any_of_the_keys() {
        let signature: Vec<u8> =
            (0..64).map(|byte| u8::from_str_radix(&BY_OPENSSL[2 * byte..2 * byte + 2], 16).unwrap()).collect();
        let payload = [&ALGORITHM.to_le_bytes(), &signature[..]].concat();
        let module = [MODULE, b"\0\x4e\x09signature", &payload].concat();
        assert_eq!(signed(), module);
        assert_eq!(verify(&module, &keys(PUBLIC)), Ok(()));
        assert_eq!(verify(&module, &keys(&format!("{OTHER}\n{PUBLIC}"))), Ok(()));
        assert_eq!(verify(&module, &keys(OTHER)), Err(VerifyError::Mismatch));
        let old = [MODULE, b"\0\x57\x12signature_wasmsign", &payload].concat();
        assert_eq!(verify(&old, &keys(PUBLIC)), Ok(()));
    }

    #[test]
    fn whatever_byte_is_altered_it_is_refused() {
        let module = signed();
        for index in 0..module.len() {
            for bit in 0..8 {
                let mut altered = module.clone();
                altered[index] ^= 1 << bit;
                assert!(verify(&altered, &keys(PUBLIC)).is_err(), "byte {index}, bit {bit}");
            }
        }
        for length in 0..module.len() {
            assert!(verify(&module[..length], &keys(PUBLIC)).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_not_signed_as_a_whole_is_told() {
        let module = signed();
        let section = &module[MODULE.len()..];
        let payload = &section[12..];
        let with = |section: &[&[u8]]| [MODULE, &section.concat()].concat();
        let mut other_algorithm = module.clone();
        other_algorithm[MODULE.len() + 12] = 3;
        for (module, expected) in [
            (MODULE.to_vec(), VerifyError::Unsigned),
            (with(&[section, section]), VerifyError::Twice),
            (with(&[section, b"\0\x13\x12signature_wasmsign"]), VerifyError::Twice),
            (with(&[section, b"\0\x02\x01a"]), VerifyError::NotLast),
            (with(&[b"\0\xce\0\x09signature", payload]), VerifyError::Length),
            (with(&[b"\0\x4f\x89\0signature", payload]), VerifyError::Length),
            (with(&[b"\0\x0a\x09signature"]), VerifyError::Size(0)),
            (with(&[b"\0\x4d\x09signature", &payload[1..]]), VerifyError::Size(67)),
            (with(&[b"\0\x4f\x09signature", payload, b"\0"]), VerifyError::Size(69)),
            (with(&[b"\0\xce\x01\x09signature", payload, &[0; 128]]), VerifyError::Length),
            (other_algorithm, VerifyError::Algorithm(3)),
        ] {
            assert_eq!(verify(&module, &keys(PUBLIC)), Err(expected), "{module:?}");
        }
        assert!(matches!(verify(b"(module)", &keys(PUBLIC)), Err(VerifyError::Unreadable(_))));
        assert_eq!(sign(&module, &PrivateKey::from_pem(PRIVATE).unwrap()), Err(SignError::Signed));
        let error = sign(b"(module)", &PrivateKey::from_pem(PRIVATE).unwrap());
        assert!(matches!(error, Err(SignError::Unreadable(_))));
    }
}
