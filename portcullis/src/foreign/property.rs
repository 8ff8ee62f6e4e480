use portcullis_core::abi::Status;
use portcullis_core::resources::ForeignCall;
use prost::Message;

use super::filter_state;

/// `envoy.source.extensions.common.wasm.SetEnvoyFilterStateArguments`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetFilterState {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
    #[prost(int32, tag = "3")]
    pub(super) span: i32,
}

/// `envoy.source.extensions.common.wasm.DeclarePropertyArguments`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeclareProperty {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bool, tag = "2")]
    pub(super) readonly: bool,
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) schema: Vec<u8>,
    #[prost(int32, tag = "5")]
    pub(super) span: i32,
}

pub(super) fn set_filter_state(call: &mut ForeignCall<'_>) -> Result<(), Status> {
    let SetFilterState { path, value, .. } = decode(call)?;
    filter_state::set(call, &path, &value)
}

pub(super) fn declare(call: &mut ForeignCall<'_>) -> Result<(), Status> {
    let DeclareProperty { name, readonly, .. } = decode(call)?;
    if call.declare_property(name.as_bytes(), readonly) { Ok(()) } else { Err(Status::BadArgument) }
}

pub(super) fn decode<M: Message + Default>(call: &ForeignCall<'_>) -> Result<M, Status> {
    M::decode(call.arguments).map_err(|_| Status::BadArgument)
}
