use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::BodyExt;

use super::*;

fn idle() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn pull(body: &mut QueueBody) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Pin::new(body).poll_frame(&mut idle())
}

fn trailers() -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("x-sum", HeaderValue::from_static("1"));
    map
}

#[test]
fn data_then_trailers_then_end() {
    let (sender, mut body) = body_queue();
    assert!(pull(&mut body).is_pending());
    sender.push("one".into());
    sender.finish(Some(trailers()));
    sender.push("late".into());
    assert!(matches!(pull(&mut body), Poll::Ready(Some(Ok(frame))) if frame.data_ref().unwrap() == "one"));
    assert!(!body.is_end_stream());
    assert!(matches!(pull(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    assert!(body.is_end_stream());
    assert!(matches!(pull(&mut body), Poll::Ready(None)));
}

#[test]
fn a_complete_body_has_an_exact_size() {
    let (sender, mut body) = body_queue();
    sender.push("abc".into());
    assert_eq!((body.size_hint().lower(), body.size_hint().exact()), (3, None));
    sender.push(Bytes::new());
    sender.finish(Some(HeaderMap::new()));
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    assert!(matches!(pull(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(body.is_end_stream());
    assert!(QueueBody::empty().is_end_stream());
}

#[test]
fn trailers_rule_out_an_exact_size() {
    let (sender, body) = body_queue();
    sender.push("abc".into());
    sender.finish(Some(trailers()));
    assert_eq!(body.size_hint().exact(), None);
}

#[test]
fn aborting_drops_what_is_queued() {
    let (sender, mut body) = body_queue();
    sender.push("abc".into());
    sender.abort("reset by peer");
    assert_eq!(sender.queued_bytes(), 0);
    let Poll::Ready(Some(Err(error))) = pull(&mut body) else {
        panic!("expected an error");
    };
    assert_eq!(error.source().unwrap().to_string(), "reset by peer");
    assert!(matches!(pull(&mut body), Poll::Ready(None)));
}

#[test]
fn a_dropped_sender_aborts_unless_it_finished() {
    let (sender, mut body) = body_queue();
    drop(sender);
    assert!(matches!(pull(&mut body), Poll::Ready(Some(Err(_)))));
    let (sender, mut body) = body_queue();
    sender.finish(None);
    drop(sender);
    assert!(matches!(pull(&mut body), Poll::Ready(None)));
}

#[test]
fn capacity_follows_the_high_water_mark() {
    let (sender, mut body) = body_queue();
    sender.push(vec![0; HIGH_WATER - 1].into());
    assert!(sender.poll_capacity(&mut idle()).is_ready());
    sender.push("a".into());
    assert!(sender.poll_capacity(&mut idle()).is_pending());
    assert!(pull(&mut body).is_ready());
    assert_eq!(sender.poll_capacity(&mut idle()), Poll::Ready(Ok(())));
    assert_eq!(sender.queued_bytes(), 1);
}

#[test]
fn dropping_the_body_closes_the_sender() {
    let (sender, body) = body_queue();
    sender.push("abc".into());
    assert!(sender.poll_closed(&mut idle()).is_pending());
    drop(body);
    assert!(sender.is_closed());
    assert_eq!(sender.queued_bytes(), 0);
    assert_eq!(sender.poll_capacity(&mut idle()), Poll::Ready(Err(Closed)));
    assert!(sender.poll_closed(&mut idle()).is_ready());
    sender.push("more".into());
    assert_eq!(sender.queued_bytes(), 0);
}

#[tokio::test]
async fn both_sides_wake_each_other() {
    let (sender, body) = body_queue();
    let produce = async move {
        for _ in 0..8 {
            sender.capacity().await.unwrap();
            sender.push(vec![7; HIGH_WATER].into());
            assert!(sender.queued_bytes() < 2 * HIGH_WATER);
        }
        sender.finish(None);
    };
    let (whole, ()) = tokio::join!(body.collect(), produce);
    assert_eq!(whole.unwrap().to_bytes().len(), 8 * HIGH_WATER);
}

#[test]
fn a_body_is_held_to_its_promise() {
    let (sender, mut body) = body_queue();
    sender.push("a".into());
    assert!(body.hold_to(3) && !body.hold_to(0));
    sender.push("bc".into());
    assert!(pull(&mut body).is_ready());
    assert!(pull(&mut body).is_pending(), "the last piece waits for the end");
    sender.finish(None);
    assert!(matches!(pull(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(pull(&mut body), Poll::Ready(None)));
    assert!(!sender.has_wrong_length());
    for (pushed, length) in [("abcd", 3), ("ab", 3), ("", 3)] {
        let (sender, mut body) = body_queue();
        assert!(body.hold_to(length));
        sender.push(pushed.into());
        sender.finish(None);
        assert!(sender.has_wrong_length(), "{pushed}");
        assert!(matches!(pull(&mut body), Poll::Ready(Some(Err(_)))), "{pushed}");
    }
}

#[test]
fn a_large_last_piece_does_not_keep_its_end_back() {
    let (sender, body) = body_queue();
    assert!(body.hold_to(HIGH_WATER as u64));
    sender.push(vec![0; HIGH_WATER].into());
    assert_eq!(sender.poll_capacity(&mut idle()), Poll::Ready(Ok(())));
}
