use tokio::task::JoinHandle;

use super::*;

/// A connection: its task waits for ever, and has the seat.
struct Connection {
    state: Arc<State>,
    task: JoinHandle<()>,
}

fn connect(seats: &Seats) -> Option<Connection> {
    let seat = seats.try_take()?;
    let (state, key) = (Arc::clone(seat.state()), seat.key());
    let task = tokio::spawn(async move {
        let _seat = seat;
        std::future::pending().await
    });
    Seat::occupied_by(seats, key, task.abort_handle());
    Some(Connection { state, task })
}

impl Connection {
    async fn is_closed(&self) -> bool {
        tokio::task::yield_now().await;
        self.task.is_finished()
    }
}

async fn closed(connections: &[Connection]) -> Vec<bool> {
    let mut closed = Vec::new();
    for connection in connections {
        closed.push(connection.is_closed().await);
    }
    closed
}

async fn pass(millis: u64) {
    tokio::time::advance(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_without_a_request_gives_way() {
    let seats = Seats::new("free", 3);
    let mut all: Vec<Connection> = Vec::new();
    for _ in 0..3 {
        all.push(connect(&seats).unwrap());
        pass(10).await;
    }
    // The first has a request, the second had one.
    let _request = all[0].state.begin();
    drop(all[1].state.begin());
    assert_eq!(closed(&all).await, [false; 3]);
    all.push(connect(&seats).unwrap());
    assert_eq!(closed(&all).await, [false, false, true, false]);
    assert_eq!(seats.lock().taken.len(), 3);
    pass(10).await;
    all.push(connect(&seats).unwrap());
    assert_eq!(closed(&all).await, [false, true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_upstream_stays() {
    let seats = Seats::new("busy", 2);
    let all = [connect(&seats).unwrap(), connect(&seats).unwrap()];
    let requests: Vec<_> = all.iter().map(|connection| connection.state.begin()).collect();
    pass(3_600_000).await;
    assert!(connect(&seats).is_none());
    assert_eq!(closed(&all).await, [false; 2]);
    drop(requests);
    assert!(connect(&seats).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_is_waited_for_longest_gives_way() {
    let seats = Seats::new("lagging", 3);
    let mut all = [connect(&seats).unwrap(), connect(&seats).unwrap(), connect(&seats).unwrap()];
    let _requests: Vec<_> = all.iter().take(2).map(|connection| connection.state.begin()).collect();
    all[0].state.wait();
    pass(600).await;
    all[1].state.wait();
    pass(600).await;
    let newcomer = connect(&seats).unwrap();
    assert_eq!(closed(&all).await, [false, false, true]);
    // One that has just come stays, though it has no request.
    all[2] = newcomer;
    let newcomer = connect(&seats).unwrap();
    assert_eq!(closed(&all).await, [true, false, false]);
    let _request = (newcomer.state.begin(), all[2].state.begin());
    all[0] = newcomer;
    // A byte now and then is no progress, a kilobyte a second is.
    for _ in 0..10 {
        all[1].state.moved(1);
        pass(100).await;
    }
    all[2].state.wait();
    for _ in 0..20 {
        pass(50).await;
        all[2].state.moved(55);
    }
    connect(&seats).unwrap().task.abort();
    assert_eq!(closed(&all).await, [false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_lags_without_a_request() {
    let seats = Seats::new("blocked", 1);
    let blocked = connect(&seats).unwrap();
    blocked.state.block();
    blocked.state.block();
    assert!(connect(&seats).is_none(), "it may read soon");
    pass(99).await;
    assert!(!blocked.state.is_free());
    assert!(connect(&seats).is_none() && !blocked.is_closed().await);
    pass(1).await;
    blocked.state.unblock(10 * 1024);
    blocked.state.block();
    pass(99).await;
    assert!(connect(&seats).is_none(), "it has read");
    pass(1).await;
    assert!(connect(&seats).is_some());
    assert!(blocked.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn those_that_leave_have_a_bound_and_many_leave_at_once() {
    let seats = Seats::new("many", 640);
    let all: Vec<_> = (0..640).map(|_| connect(&seats).unwrap()).collect();
    // Nobody is closed meanwhile: this task does not wait.
    let more: Vec<_> = (0..200).map_while(|_| connect(&seats)).collect();
    assert_eq!(more.len(), Seats::slack(640));
    assert!(seats.any_leaving());
    // One who waits for those of this worker to close finds a place.
    drop(seats.take().await.unwrap());
    // One look ends ten or eleven, of newcomers too.
    let ended = closed(&all).await.into_iter().filter(|closed| *closed).count();
    assert!((80..100).contains(&ended), "{ended}");
    assert!(!seats.any_leaving());
    assert_eq!(seats.lock().taken.len(), 640 + more.len() - ended);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_of_descriptors_ends_connections_though_there_are_seats() {
    let seats = Seats::new("shortage", 9);
    assert!(!seats.relieve(), "there is nobody");
    let all = [connect(&seats).unwrap(), connect(&seats).unwrap(), connect(&seats).unwrap()];
    let _request = all[0].state.begin();
    pass(10).await;
    assert!(seats.relieve());
    assert_eq!(closed(&all).await, [false, true, false]);
    assert!(seats.relieve());
    assert!(!seats.relieve(), "the other waits for its upstream");
    assert_eq!(closed(&all).await, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn upstreams_are_freed_by_those_that_lag_alone() {
    let seats = Seats::new("upstreams", 9);
    let all = [connect(&seats).unwrap(), connect(&seats).unwrap(), connect(&seats).unwrap()];
    let _requests = [all[1].state.begin(), all[2].state.begin()];
    all[2].state.wait();
    pass(99).await;
    assert!(!seats.end_lagging());
    pass(1).await;
    assert!(seats.end_lagging());
    assert_eq!(closed(&all).await, [false, false, true]);
    assert!(!seats.end_lagging());
    // Those of another worker have other upstreams.
    all[1].state.wait();
    pass(100).await;
    let theirs = seats.clone();
    assert!(!thread::spawn(move || theirs.end_lagging()).join().unwrap());
}

#[tokio::test(start_paused = true)]
async fn many_busy_connections_are_not_looked_through_for_each_newcomer() {
    let seats = Seats::new("busy_many", 3000);
    let all: Vec<_> = (0..3000).map(|_| connect(&seats).unwrap()).collect();
    let mut requests: Vec<_> = all.iter().map(|connection| connection.state.begin()).collect();
    assert!(connect(&seats).is_none());
    requests.clear();
    pass(2).await;
    assert!(connect(&seats).is_none() && !seats.relieve() && !seats.end_lagging());
    pass(1).await;
    assert!(connect(&seats).is_some());
}

#[tokio::test(start_paused = true)]
async fn seats_are_added_and_taken_away_while_connections_have_them() {
    let seats = Seats::new("resized", 1);
    let first = connect(&seats).unwrap();
    let request = first.state.begin();
    assert!(connect(&seats).is_none());
    seats.resize(3);
    let (second, third) = (connect(&seats).unwrap(), connect(&seats).unwrap());
    seats.resize(1);
    assert_eq!(closed(&[second, third]).await, [false, false], "nobody else wants them");
    drop(request);
    pass(10).await;
    let _ = connect(&seats);
    assert!(first.is_closed().await || seats.any_leaving(), "one goes for a newcomer");
}
