//! The response to a request of a client.

use std::future::poll_fn;
use std::rc::Rc;

use http::{Request, Response};

use crate::serve::seats::Inbound;
use crate::serve::worker::arrival::Arrival;
use crate::serve::worker::body::ResponseBody;
use crate::serve::worker::context::Context;
use crate::serve::worker::cut::Cut;
use crate::serve::worker::exchange::Exchange;
use crate::serve::worker::refused;
use portcullis::chain::convert::{canonical, take_expectation};

/// Begins the exchange of a request and waits for the response's head.
///
/// # Errors
/// A response that was cut before its head: the connection ends without one.
pub(super) async fn respond(
    context: Rc<Context>,
    arrival: Arrival,
    request: Request<Inbound>,
) -> Result<Response<ResponseBody>, Cut> {
    let (mut parts, incoming) = request.into_parts();
    let task = arrival.deadlines.request(parts.version);
    let taken = canonical(&mut parts, arrival.client.local).and_then(|()| take_expectation(&mut parts));
    let awaits_continue = match taken {
        Ok(awaits) => awaits,
        Err(refusal) => {
            let response = refused::answer(&arrival, &parts, refusal)?;
            return Ok(response.map(ResponseBody::Text));
        }
    };
    let mut exchange = Box::new(Exchange::begin(context, arrival, parts, incoming, task, awaits_continue));
    let (status, headers) = poll_fn(|cx| exchange.poll_head(cx)).await?;
    let mut response = Response::new(ResponseBody::Exchange(exchange));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
