use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};
use portcullis_core::abi::Status;
use portcullis_core::resources::ForeignCall;
use prost::Message;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use spki::ObjectIdentifier;
use spki::SubjectPublicKeyInfoRef;
use spki::der::Decode;

use super::property::decode;

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VerifyArguments {
    #[prost(string, tag = "1")]
    pub(super) hash_function: String,
    /// DER.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) text: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) public_key_pem: String,
}

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VerifyResult {
    #[prost(bool, tag = "1")]
    pub(super) result: bool,
    #[prost(string, tag = "2")]
    pub(super) error: String,
}

/// `envoy.source.extensions.common.wasm.SignArguments`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignArguments {
    #[prost(string, tag = "1")]
    pub(super) hash_function: String,
    /// DER, PKCS #8 or PKCS #1.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) private_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) text: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(super) private_key_pem: String,
}

/// `envoy.source.extensions.common.wasm.SignResult`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignResult {
    #[prost(bool, tag = "1")]
    pub(super) result: bool,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) signature: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) error: String,
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

pub(super) fn verify(call: &mut ForeignCall<'_>) -> Result<(), Status> {
    let outcome = verified(&decode(call)?);
    let result = VerifyResult { result: outcome.is_ok(), error: outcome.err().unwrap_or_default().to_owned() };
    call.result.extend(result.encode_to_vec());
    Ok(())
}

pub(super) fn sign(call: &mut ForeignCall<'_>) -> Result<(), Status> {
    let result = match signed(&decode(call)?) {
        Ok(signature) => SignResult { result: true, signature, error: String::new() },
        Err(error) => SignResult { result: false, signature: Vec::new(), error: error.to_owned() },
    };
    call.result.extend(result.encode_to_vec());
    Ok(())
}

fn verified(arguments: &VerifyArguments) -> Result<(), &'static str> {
    let pem;
    let der = if arguments.public_key_pem.is_empty() {
        &arguments.public_key
    } else {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(arguments.public_key_pem.as_bytes());
        pem = key.map_err(|_| "the public key is no PEM")?.to_vec();
        &pem
    };
    let key = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| "the public key is no SubjectPublicKeyInfo")?;
    let curve = key.algorithm.parameters_oid().ok();
    let algorithm: &dyn VerificationAlgorithm = match (key.algorithm.oid, curve, arguments.hash_function.as_str()) {
        (RSA, _, "sha1") => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (RSA, _, "sha256") => &signature::RSA_PKCS1_2048_8192_SHA256,
        (RSA, _, "sha384") => &signature::RSA_PKCS1_2048_8192_SHA384,
        (RSA, _, "sha512") => &signature::RSA_PKCS1_2048_8192_SHA512,
        (EC, Some(P256), "sha256") => &signature::ECDSA_P256_SHA256_ASN1,
        (EC, Some(P256), "sha384") => &signature::ECDSA_P256_SHA384_ASN1,
        (EC, Some(P384), "sha256") => &signature::ECDSA_P384_SHA256_ASN1,
        (EC, Some(P384), "sha384") => &signature::ECDSA_P384_SHA384_ASN1,
        _ => return Err("this key and hash function are not supported"),
    };
    let public = UnparsedPublicKey::new(algorithm, key.subject_public_key.raw_bytes());
    public.verify(&arguments.text, &arguments.signature).map_err(|_| "the signature does not fit")
}

fn signed(arguments: &SignArguments) -> Result<Vec<u8>, &'static str> {
    let pem;
    let der = if arguments.private_key_pem.is_empty() {
        arguments.private_key.as_slice()
    } else {
        let key = PrivateKeyDer::from_pem_slice(arguments.private_key_pem.as_bytes());
        pem = key.map_err(|_| "the private key is no PEM")?;
        pem.secret_der()
    };
    let (hash, text, random) = (arguments.hash_function.as_str(), &arguments.text, SystemRandom::new());
    if let Ok(key) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
        let padding: &dyn signature::RsaEncoding = match hash {
            "sha256" => &signature::RSA_PKCS1_SHA256,
            "sha384" => &signature::RSA_PKCS1_SHA384,
            "sha512" => &signature::RSA_PKCS1_SHA512,
            _ => return Err("this hash function is not supported"),
        };
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(padding, &random, text, &mut signature).map_err(|_| "the key cannot sign")?;
        return Ok(signature);
    }
    let algorithm = match hash {
        "sha256" => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        "sha384" => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => return Err("this key or hash function is not supported"),
    };
    let key = EcdsaKeyPair::from_pkcs8(algorithm, der).map_err(|_| "this private key is not supported")?;
    let signature = key.sign(&random, text).map_err(|_| "the key cannot sign")?;
    Ok(signature.as_ref().to_vec())
}
