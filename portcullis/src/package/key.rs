//! Keys of Ed25519.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use spki::der::Decode;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

/// The keys that a module may be signed with: at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKeys(Vec<[u8; 32]>);

/// A key that modules are signed with. `Debug` does not show it.
pub struct PrivateKey(Ed25519KeyPair);

/// Why a text has no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither a line of 64 hexadecimal digits nor a block of PEM is there.
    #[error(
        "there is no key: expected PEM (-----BEGIN PUBLIC KEY-----), or 64 hexadecimal digits in a line for each key"
    )]
    Absent,
    /// A line is no key.
    #[error("line {0} is no key of Ed25519: expected 64 hexadecimal digits")]
    Line(usize),
    /// A block of PEM cannot be read.
    #[error("key {0} is no public key in PEM")]
    Pem(usize),
    /// A key is of another algorithm.
    #[error("key {0} is no key of Ed25519; make one with `openssl genpkey -algorithm ed25519`")]
    Algorithm(usize),
    /// The private key is no PKCS #8 in PEM, or of another algorithm.
    #[error("this is no private key of Ed25519 in PEM; make one with `openssl genpkey -algorithm ed25519`")]
    Private,
}

impl PublicKeys {
    /// Reads keys: blocks of PEM, or 64 hexadecimal digits in a line for each.
    ///
    /// # Errors
    /// No key is there, or one cannot be read.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let keys = match text.contains("-----BEGIN ") {
            true => of_pem(text)?,
            false => of_lines(text)?,
        };
        if keys.is_empty() { Err(KeyError::Absent) } else { Ok(Self(keys)) }
    }

    /// Returns whether the signature is one of these keys' over the message.
    pub(super) fn fit(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
    }
}

/// Displays as one line of hexadecimal digits for each key.
impl fmt::Display for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl PrivateKey {
    /// Reads a key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Private)?;
        // OpenSSL leaves the public key out.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()).map_err(|_| KeyError::Private)?;
        Ok(Self(pair))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

fn of_pem(text: &str) -> Result<Vec<[u8; 32]>, KeyError> {
    let blocks = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()).enumerate();
    let read = |(index, block): (usize, Result<SubjectPublicKeyInfoDer<'_>, _>)| {
        let block = block.map_err(|_| KeyError::Pem(index + 1))?;
        let info = SubjectPublicKeyInfoRef::from_der(&block).map_err(|_| KeyError::Pem(index + 1))?;
        let key = info.subject_public_key.as_bytes().filter(|_| info.algorithm.oid == ED25519_OID);
        key.and_then(|key| key.try_into().ok()).ok_or(KeyError::Algorithm(index + 1))
    };
    blocks.map(read).collect()
}

fn of_lines(text: &str) -> Result<Vec<[u8; 32]>, KeyError> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(index, line)| of_hex(line).ok_or(KeyError::Line(index + 1))).collect()
}

fn of_hex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
    /// Of P-256.
    const OTHER: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcLr84IeyTF9olvvOXiW5WJDdhe39
1fxt9/D657hT+g+oev4hgiF0JOqDZ8K8r5K6Kmh8GlYkwGRqTIbO4l8yZw==
-----END PUBLIC KEY-----
";

    #[test]
    fn keys_are_read_in_two_forms() {
        let of_pem = PublicKeys::read(PEM);
        assert_eq!(of_pem, PublicKeys::read(HEX));
        let twice = PublicKeys::read(&format!("{PEM}\n{PEM}")).map(|keys| keys.0.len());
        assert_eq!(twice, Ok(2));
        assert_eq!(of_pem.map(|keys| keys.to_string()).as_deref(), Ok(HEX));
        assert_eq!(PublicKeys::read(&format!("\n{HEX}\r\n {HEX} \n")).map(|keys| keys.0.len()), Ok(2));
    }

    #[test]
    fn a_text_without_a_key_is_told() {
        for (text, expected) in [
            ("", KeyError::Absent),
            ("\n\n", KeyError::Absent),
            ("-----BEGIN NOTHING-----\n", KeyError::Pem(1)),
            (&HEX[1..], KeyError::Line(1)),
            (&format!("{HEX}\n{HEX}0"), KeyError::Line(2)),
            (&HEX.replace('d', "g"), KeyError::Line(1)),
            (&format!("{PEM}{OTHER}"), KeyError::Algorithm(2)),
            ("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", KeyError::Pem(1)),
            ("-----BEGIN PUBLIC KEY-----\n-\n-----END PUBLIC KEY-----\n", KeyError::Pem(1)),
        ] {
            assert_eq!(PublicKeys::read(text), Err(expected), "{text}");
        }
        assert_eq!(PrivateKey::from_pem(PEM).err(), Some(KeyError::Private));
        assert_eq!(PrivateKey::from_pem("").err(), Some(KeyError::Private));
    }
}
