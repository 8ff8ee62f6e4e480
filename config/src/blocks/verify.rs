//! `verify`: without which signatures a plugin does not run.

use portcullis::input::read_file;
use portcullis::package::PublicKeys;

use crate::error::Origin;
use crate::reader::{Key, Read, Section, Type, Value, files};

/// Something that has to hold of a plugin's code before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verification {
    /// The module carries a signature of one of these keys.
    ModuleSignature {
        /// The keys.
        keys: PublicKeys,
        /// Their place.
        origin: Origin,
    },
}

/// The conditions of a plugin's code. A plugin without the key runs any code.
pub(super) const VERIFY: Key = Key::new(
    "verify",
    Type::List(const { &Type::Section(&VERIFICATION) }),
    "What has to hold of the code before it runs, all of it; without the key any code runs.",
);

const MODULE_SIGNATURE: Key = Key::new(
    "module_signature",
    Type::Section(&SIGNATURE),
    "The module carries a signature of one of some keys (Ed25519).",
)
.required();

static VERIFICATION: Section = Section::new(
    "verification",
    "plugin.verify[]",
    "Something that has to hold of a plugin's code.",
    &[MODULE_SIGNATURE],
)
.page("signatures.md");

const PUBLIC_KEYS: Key = Key::new("public_keys", Type::Section(&KEYS), "The keys, of which one has to fit.").required();

static SIGNATURE: Section = Section::new(
    "module_signature",
    "plugin.verify[].module_signature",
    "A signature in the custom section `signature`, the last one of the module.",
    &[PUBLIC_KEYS],
)
.page("signatures.md");

const FILENAME: Key = Key::new(
    "filename",
    Type::Name,
    "A file of keys, found from the working directory or beside the configuration; it is read again at each reload.",
);
const INLINE_STRING: Key = Key::new("inline_string", Type::Text, "The keys themselves.");

static KEYS: Section = Section::new(
    "public_keys",
    "plugin.verify[].module_signature.public_keys",
    "Keys of Ed25519 in PEM, or 64 hexadecimal digits in a line for each; one of the keys.",
    &[FILENAME, INLINE_STRING],
);

/// The most bytes of a file of keys.
const LARGEST: u64 = 1 << 20;

/// Reads what has to hold of a plugin's code.
pub(super) fn read(value: &Value<'_>) -> Read<Vec<Verification>> {
    let list = value.list(|_, one| {
        let mapping = one.mapping(&VERIFICATION)?;
        mapping.required(MODULE_SIGNATURE, "add `module_signature: {public_keys: {filename: keys.pem}}`", signature)
    })?;
    match list.is_empty() {
        true => Err(value.fail("an empty list verifies nothing", "add a verification, or remove the key")),
        false => Ok(list),
    }
}

fn signature(value: &Value<'_>) -> Read<Verification> {
    let mapping = value.mapping(&SIGNATURE)?;
    mapping.required(PUBLIC_KEYS, "add `public_keys: {filename: keys.pem}`", |keys| {
        let mapping = keys.mapping(&KEYS)?;
        let Some((form, place)) = mapping.at_most_one(KEYS.keys)? else {
            return Err(keys.fail("no keys are given", "add `filename: keys.pem` or inline_string"));
        };
        let text = match form {
            "filename" => of_file(place)?,
            _ => place.string()?.to_owned(),
        };
        let read = PublicKeys::read(&text);
        let help = "write keys of Ed25519: `openssl pkey -in KEY -pubout` prints one";
        let keys = read.map_err(|error| place.fail(error.to_string(), help))?;
        Ok(Verification::ModuleSignature { keys, origin: place.origin() })
    })
}

fn of_file(place: &Value<'_>) -> Read<String> {
    let path = files::existing(place, "write the public keys there, or correct the path")?;
    let fault = |problem: String, help| place.fail(format!("{}: {problem}", path.display()), help);
    let bytes = read_file(&path, LARGEST)
        .map_err(|error| fault(format!("cannot be read: {error}"), "correct the path, or let this user read it"))?;
    String::from_utf8(bytes).map_err(|_| fault("is not valid UTF-8".to_owned(), "write the keys in PEM"))
}
