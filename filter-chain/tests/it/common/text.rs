use portcullis_chain::StreamEffect;
use portcullis_core::model::{Headers, SharedStreamInfo, StreamInfo};

/// An effect in words, with the maps that it speaks of.
pub(crate) fn show_effect(effect: StreamEffect, info: &SharedStreamInfo) -> String {
    info.with(|info| words(effect, info))
}

fn words(effect: StreamEffect, info: &StreamInfo) -> String {
    match effect {
        StreamEffect::RequestHeaders { end } => {
            ended(format!("request {}", show_map(info.request_headers.as_ref())), end)
        }
        StreamEffect::ResponseHeaders { end, .. } => {
            ended(format!("response {}", show_map(info.response_headers.as_ref())), end)
        }
        StreamEffect::RequestBody { body, end } => ended(format!("request body {}", text(&body.to_bytes())), end),
        StreamEffect::ResponseBody { body, end } => ended(format!("response body {}", text(&body.to_bytes())), end),
        StreamEffect::RequestTrailers => format!("request trailers {}", show_map(info.request_trailers.as_ref())),
        StreamEffect::ResponseTrailers => format!("response trailers {}", show_map(info.response_trailers.as_ref())),
        StreamEffect::RequestDone => "request done".to_owned(),
        StreamEffect::RouteCleared => "route cleared".to_owned(),
        StreamEffect::Reset { reason } => format!("reset {reason}"),
        other => format!("{other:?}"),
    }
}

fn ended(text: String, end: bool) -> String {
    if end { text + " end" } else { text }
}

fn show_map(map: Option<&Headers>) -> String {
    let Some(map) = map else { return "missing".to_owned() };
    let pairs: Vec<_> = map.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    pairs.join(" ")
}

/// Bytes as text, quoted when that is clearer.
pub(crate) fn text(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { String::from_utf8_lossy(bytes).into_owned() }
}
