//! Machine code that runs without being checked, and hence is accepted only if this host sealed it.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A secret of this host. Whoever has it can make this host run machine code of their choice.
#[derive(Clone)]
pub struct SealKey([u8; Self::LEN]);

/// Machine code that somebody with the key sealed, unchanged since. There is no other way to make
/// one, so an engine that is handed one may run it.
#[derive(Debug)]
pub struct SealedCode<'a>(&'a [u8]);

impl SealKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A key from bytes that nobody else can know.
    pub const fn new(secret: [u8; Self::LEN]) -> Self {
        Self(secret)
    }

    /// Code with its seal. `subject` names what the code is of, and by what it may be run: the
    /// module's digest and [`WasmEngine::fingerprint`](crate::engine::WasmEngine::fingerprint).
    pub fn seal(&self, subject: &str, code: &[u8]) -> Vec<u8> {
        let mut sealed = self.mac(subject, code).finalize().into_bytes().to_vec();
        sealed.extend_from_slice(code);
        sealed
    }

    /// Returns the code, if this key sealed it for this subject and no bit of it has changed.
    pub fn open<'a>(&self, subject: &str, sealed: &'a [u8]) -> Option<SealedCode<'a>> {
        let (seal, code) = sealed.split_at_checked(SEAL)?;
        self.mac(subject, code).verify_slice(seal).ok()?;
        Some(SealedCode(code))
    }

    fn mac(&self, subject: &str, code: &[u8]) -> Hmac<Sha256> {
        // HMAC fills a short key up with zeros to the length of a block.
        let mut block = [0; BLOCK];
        block[..Self::LEN].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
        mac.update(&(subject.len() as u64).to_le_bytes());
        mac.update(subject.as_bytes());
        mac.update(code);
        mac
    }
}

impl SealedCode<'_> {
    /// Returns the machine code.
    pub fn bytes(&self) -> &[u8] {
        self.0
    }
}

/// Keeps the secret out of logs.
impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

/// Length of a seal in bytes.
const SEAL: usize = 32;

/// Length of a block of SHA-256 in bytes.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SealKey = SealKey::new([1; SealKey::LEN]);

    fn opens(key: &SealKey, subject: &str, sealed: &[u8]) -> bool {
        key.open(subject, sealed).is_some()
    }

    #[test]
    fn what_was_sealed_opens() {
        let sealed = KEY.seal("subject", b"code");
        assert_eq!(KEY.open("subject", &sealed).map(|code| code.bytes().to_vec()), Some(b"code".to_vec()));
    }

    #[test]
    fn nothing_else_does() {
        let sealed = KEY.seal("subject", b"code");
        assert!(!opens(&SealKey::new([2; SealKey::LEN]), "subject", &sealed));
        assert!(!opens(&KEY, "another", &sealed) && !opens(&KEY, "subjec", &sealed));
        for i in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[i] ^= 1;
            assert!(!opens(&KEY, "subject", &damaged), "byte {i}");
            assert!(!opens(&KEY, "subject", &sealed[..i]), "first {i} bytes");
        }
    }

    #[test]
    fn subject_and_code_do_not_run_together() {
        assert!(!opens(&KEY, "subjectc", &KEY.seal("subject", b"code")));
        assert_ne!(KEY.seal("ab", b"c"), KEY.seal("a", b"bc"));
    }
}
