//! Where a guest is when it calls, as a phase of the probe.

use portcullis_core::abi::{AbiVersion, CallbackId};

use super::row::Stage;
use crate::check::{Task, plain};
use crate::host_under_test::Setting;
use crate::kit::in_version;

pub(super) fn task(at: Stage, script: &str) -> Task {
    let phase = match at {
        Stage::Configure => CallbackId::on_configure,
        Stage::Tick
        | Stage::TickWithoutRoom
        | Stage::TickOfPending
        | Stage::TickOfSpec
        | Stage::TickWithFunctions
        | Stage::TickOf010 => CallbackId::on_tick,
        Stage::RequestHeaders | Stage::RequestHeadersOf010 => CallbackId::on_request_headers,
        Stage::RequestBody => CallbackId::on_request_body,
        Stage::Log => CallbackId::on_log,
        Stage::CallResponse => CallbackId::on_http_call_response,
        Stage::GrpcMessage => CallbackId::on_grpc_receive,
        Stage::GrpcMetadata => CallbackId::on_grpc_receive_initial_metadata,
        Stage::Downstream => CallbackId::on_downstream_data,
        Stage::ForeignFunction => CallbackId::on_foreign_function,
    };
    let setting = match at {
        Stage::TickWithoutRoom => Setting::WithoutRoom,
        Stage::TickOfPending => Setting::Pending,
        Stage::TickOfSpec => Setting::Spec,
        Stage::TickWithFunctions => Setting::Functions,
        _ => Setting::Plain,
    };
    let abi = match at {
        Stage::TickOf010 | Stage::RequestHeadersOf010 => AbiVersion::V0_1_0,
        _ => AbiVersion::V0_2_1,
    };
    Task { abi, setting, phase: in_version(phase, abi), ..plain(phase, script) }
}
