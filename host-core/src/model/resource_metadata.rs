//! Metadata of routes, clusters and endpoints, as plugins read it (host: attributes `xds.*_metadata`).
//!
//! | path, behind `xds.route_metadata` and its like | value |
//! |---|---|
//! | nothing | the message `envoy.config.core.v3.Metadata` |
//! | `filter_metadata` | pairs of namespaces and their members, which are pairs |
//! | `filter_metadata.NAMESPACE` | pairs of its members |
//! | `filter_metadata.NAMESPACE.KEY...` | text; a number as a double of 8 bytes; 1 byte for true and false; pairs for members and lists |
//! | `typed_filter_metadata` | no pairs |
//!
//! A null has no value, and neither has what contains one. All is encoded when the configuration is read.

use crate::abi::Status;
use crate::abi::pairs;
use crate::model::stream_info::StreamInfo;

/// Metadata of a route, a cluster or an endpoint: Envoy's `envoy.config.core.v3.Metadata` without its typed part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMetadata {
    namespaces: MetadataMap,
    message: Box<[u8]>,
}

/// A value in metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataValue {
    /// Null, which plugins find no value for.
    Null,
    /// The bytes of a double, little-endian.
    Number([u8; 8]),
    /// Text.
    Text(Box<str>),
    /// True or false.
    Bool(bool),
    /// Members.
    Map(MetadataMap),
    /// Items.
    List(MetadataList),
}

/// Members by name, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataMap {
    members: Box<[(Box<str>, MetadataValue)]>,
    /// None if there is a null in it.
    pairs: Option<Box<[u8]>>,
}

/// Items of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataList {
    items: Box<[MetadataValue]>,
    /// None if there is a null in it.
    pairs: Option<Box<[u8]>>,
}

/// Returns whether a path is about metadata.
pub(crate) fn is_metadata(path: &[u8]) -> bool {
    split(path).is_some()
}

/// Writes the value of a path to `out`; None if the path is about no metadata.
///
/// # Errors
/// `NotFound` for what is not there; `SerializationFailure` for what has no value.
pub(crate) fn read(info: Option<&StreamInfo>, path: &[u8], out: &mut Vec<u8>) -> Option<Result<(), Status>> {
    let (resource, rest) = split(path)?;
    let found = info.ok_or(Status::NotFound).and_then(|info| find(info, resource, rest));
    let bytes = found.and_then(|found| found.bytes(out).ok_or(Status::SerializationFailure));
    Some(bytes)
}

/// Returns whether a path is about metadata with something below it.
pub(crate) fn has_parts(info: &StreamInfo, path: &[u8]) -> bool {
    let found = split(path).and_then(|(resource, rest)| find(info, resource, rest).ok());
    match found {
        Some(Found::Value(value)) => matches!(value, MetadataValue::Map(_) | MetadataValue::List(_)),
        Some(Found::Message(_) | Found::Map(_)) => true,
        Some(Found::NoPairs) | None => false,
    }
}

#[derive(Clone, Copy)]
enum Resource {
    Route,
    Cluster,
    Host,
}

enum Found<'a> {
    Message(&'a [u8]),
    Map(&'a MetadataMap),
    Value(&'a MetadataValue),
    NoPairs,
}

/// Returns the resource that a path is about, and what follows.
fn split(path: &[u8]) -> Option<(Resource, Option<&[u8]>)> {
    let path = path.strip_prefix(b"xds\0")?;
    let (name, rest) = next(path);
    let resource = match name {
        b"route_metadata" => Resource::Route,
        b"cluster_metadata" => Resource::Cluster,
        b"upstream_host_metadata" => Resource::Host,
        _ => return None,
    };
    Some((resource, rest))
}

/// Returns the first segment of a path, and those behind it.
fn next(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == 0).and_then(|at| path.split_at_checked(at)) {
        Some((first, rest)) => (first, rest.get(1..)),
        None => (path, None),
    }
}

fn find<'a>(info: &'a StreamInfo, resource: Resource, path: Option<&[u8]>) -> Result<Found<'a>, Status> {
    let metadata = match resource {
        Resource::Route => info.route_metadata.as_deref(),
        Resource::Cluster => info.cluster_metadata.as_deref(),
        Resource::Host => info.upstream_metadata.as_deref(),
    };
    let Some(metadata) = metadata else {
        // As in Envoy: a host without metadata is a message that is not there.
        let is_bare = matches!(resource, Resource::Host) && info.upstream.is_some() && path.is_none();
        return Err(if is_bare { Status::SerializationFailure } else { Status::NotFound });
    };
    let Some(path) = path else { return Ok(Found::Message(&metadata.message)) };
    match next(path) {
        (b"typed_filter_metadata", None) => Ok(Found::NoPairs),
        (b"filter_metadata", None) => Ok(Found::Map(&metadata.namespaces)),
        (b"filter_metadata", Some(path)) => {
            let (name, mut rest) = next(path);
            let mut value = metadata.namespaces.get(name).ok_or(Status::NotFound)?;
            while let Some(path) = rest {
                let (name, behind) = next(path);
                value = value.part(name).ok_or(Status::NotFound)?;
                rest = behind;
            }
            Ok(Found::Value(value))
        }
        _ => Err(Status::NotFound),
    }
}

impl Found<'_> {
    /// Appends its bytes, if it has some.
    fn bytes(&self, out: &mut Vec<u8>) -> Option<()> {
        const NO_PAIRS: &[u8] = &[0; 4];
        out.extend_from_slice(match self {
            Self::Message(bytes) => bytes,
            Self::NoPairs => NO_PAIRS,
            Self::Map(map) => map.pairs.as_deref()?,
            Self::Value(value) => value.bytes()?,
        });
        Some(())
    }
}

impl ResourceMetadata {
    /// Makes metadata of namespaces, each with its members.
    pub fn new(namespaces: impl IntoIterator<Item = (String, MetadataMap)>) -> Self {
        let namespaces =
            MetadataMap::new(namespaces.into_iter().map(|(name, members)| (name, MetadataValue::Map(members))));
        let mut message = Vec::new();
        for (name, value) in &namespaces.members {
            let MetadataValue::Map(members) = value else { continue };
            field(&mut message, 1, &entry(name, &members.message()));
        }
        Self { namespaces, message: message.into() }
    }

    /// Returns the namespaces, each a map.
    pub fn namespaces(&self) -> &MetadataMap {
        &self.namespaces
    }
}

impl Default for ResourceMetadata {
    /// Metadata that says nothing.
    fn default() -> Self {
        Self::new([])
    }
}

impl MetadataMap {
    /// Makes a map; of members with the same name one is kept.
    pub fn new(members: impl IntoIterator<Item = (String, MetadataValue)>) -> Self {
        let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name.into_boxed_str(), value)).collect();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        members.dedup_by(|(one, _), (other, _)| one == other);
        let pairs = encoded(members.iter().map(|(name, value)| Some((name.as_bytes(), value.bytes()?))));
        Self { members: members.into(), pairs }
    }

    /// Returns the members, sorted by name.
    pub fn members(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    fn get(&self, name: &[u8]) -> Option<&MetadataValue> {
        let at = self.members.binary_search_by(|(key, _)| key.as_bytes().cmp(name)).ok()?;
        self.members.get(at).map(|(_, value)| value)
    }

    /// `google.protobuf.Struct`.
    fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        for (name, value) in &self.members {
            field(&mut message, 1, &entry(name, &value.message()));
        }
        message
    }
}

impl MetadataList {
    /// Makes a list.
    pub fn new(items: Vec<MetadataValue>) -> Self {
        const NONE: &[u8] = &[];
        let pairs = encoded(items.iter().map(|value| Some((value.bytes()?, NONE))));
        Self { items: items.into(), pairs }
    }

    /// Returns the items.
    pub fn items(&self) -> &[MetadataValue] {
        &self.items
    }
}

impl MetadataValue {
    /// Makes a number.
    pub fn number(number: f64) -> Self {
        Self::Number(number.to_le_bytes())
    }

    /// Finds a member by its name, or an item by its index.
    ///
    /// differs: Envoy takes an index with blanks, signs and zeros before it, too; rules would have to know all spellings.
    fn part(&self, name: &[u8]) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(name),
            Self::List(list) => {
                let is_plain = name.iter().all(u8::is_ascii_digit) && (name == b"0" || !name.starts_with(b"0"));
                let index: usize = std::str::from_utf8(name).ok().filter(|_| is_plain)?.parse().ok()?;
                list.items.get(index)
            }
            _ => None,
        }
    }

    /// Returns the bytes that a plugin gets.
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Null => None,
            Self::Number(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bool(true) => Some(&[1]),
            Self::Bool(false) => Some(&[0]),
            Self::Map(map) => map.pairs.as_deref(),
            Self::List(list) => list.pairs.as_deref(),
        }
    }

    /// `google.protobuf.Value`.
    fn message(&self) -> Vec<u8> {
        const VARINT: u8 = 0;
        const DOUBLE: u8 = 1;
        let mut message = Vec::new();
        match self {
            Self::Null => message.extend([1 << 3 | VARINT, 0]),
            Self::Number(bytes) => {
                message.push(2 << 3 | DOUBLE);
                message.extend(bytes);
            }
            Self::Text(text) => field(&mut message, 3, text.as_bytes()),
            Self::Bool(flag) => message.extend([4 << 3 | VARINT, u8::from(*flag)]),
            Self::Map(map) => field(&mut message, 5, &map.message()),
            Self::List(list) => {
                let mut items = Vec::new();
                list.items.iter().for_each(|item| field(&mut items, 1, &item.message()));
                field(&mut message, 6, &items);
            }
        }
        message
    }
}

/// Pairs, unless one of them has no value.
fn encoded<'a>(entries: impl Iterator<Item = Option<(&'a [u8], &'a [u8])>>) -> Option<Box<[u8]>> {
    let entries: Vec<_> = entries.collect::<Option<_>>()?;
    if entries.is_empty() {
        return Some(Box::new([0; 4]));
    }
    let mut out = vec![0; pairs::len_of(entries.iter().copied())];
    pairs::encode_entries(|| entries.iter().copied(), &mut out).then_some(out.into())
}

/// Returns an entry of a map of messages.
fn entry(name: &str, value: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(name.len() + value.len() + 8);
    field(&mut entry, 1, name.as_bytes());
    field(&mut entry, 2, value);
    entry
}

/// Appends a field of bytes.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    const DELIMITED: u8 = 2;
    out.push(number << 3 | DELIMITED);
    let mut len = bytes.len();
    while len >= 0x80 {
        // The low seven bits, with the mark that more follow.
        out.push(u8::try_from(len & 0x7f).unwrap_or_default() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap_or_default());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
