use std::sync::Weak;
use std::thread::sleep;
use std::time::Duration;

use super::*;
use crate::serve::server::Gateway;

/// The time after which nothing is expected any more.
const LIMIT: Duration = Duration::from_secs(10);

fn config(workers: usize) -> Config {
    let text = format!(
        "workers: {workers}
listeners:
- {{ name: main, address: '127.0.0.1:0', routes: [{{ match: {{ prefix: / }}, cluster: echo }}] }}
clusters:
- {{ name: echo, echo: {{}} }}
"
    );
    Config::parse("gateway.yaml", &text).unwrap()
}

#[test]
fn nothing_keeps_the_plan_of_a_generation_that_has_gone() {
    let running = Gateway::prepare(config(2)).unwrap().serve().unwrap();
    let reloader = running.reloader();
    // Workers that were there from the start, that come with a reload, and that leave.
    let plans: Vec<Weak<Planned>> = [2, 4, 4, 3, 3]
        .into_iter()
        .map(|workers| {
            let plan = Arc::downgrade(&lock(&reloader.0.state).plan.planned);
            reloader.reload(config(workers), &Cancel::default()).unwrap();
            plan
        })
        .collect();
    let begun = Instant::now();
    let mut left = vec![true; plans.len()];
    while left.contains(&true) && begun.elapsed() < LIMIT {
        sleep(Duration::from_millis(5));
        left = plans.iter().map(|plan| plan.strong_count() > 0).collect();
    }
    assert_eq!(left, [false; 5], "the plans of generations 1 to 5 that are left");
    drop(running);
}
