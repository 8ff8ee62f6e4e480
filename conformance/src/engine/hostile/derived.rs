use std::fmt;
use std::sync::Arc;

use portcullis::engine::AnyEngine;

use super::{allocators, edges, signatures};

/// A case that is derived from a row of a table.
#[derive(Clone)]
pub struct Derived {
    /// Topic of the case.
    pub topic: &'static str,
    /// Its name within the topic.
    pub name: String,
    run: Run,
}

type Run = Arc<dyn Fn(&dyn AnyEngine) + Send + Sync>;

/// Returns all of them.
pub fn derived() -> impl Iterator<Item = Derived> {
    let edges =
        edges::edges().map(|edge| case("hostile_edges", edge.name(), move |engine: &dyn AnyEngine| edge.run(engine)));
    let allocators = allocators::hostcalls().map(|hostcall| {
        case("hostile_allocators", hostcall.to_string(), move |engine: &dyn AnyEngine| {
            allocators::run(hostcall, engine)
        })
    });
    let signatures = signatures::exports().map(|export| {
        case("hostile_signatures", export.to_owned(), move |engine: &dyn AnyEngine| signatures::run(export, engine))
    });
    edges.chain(allocators).chain(signatures)
}

impl Derived {
    /// Runs it.
    ///
    /// # Panics
    /// Something else happens than should.
    pub fn run(&self, engine: &dyn AnyEngine) {
        (self.run)(engine);
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derived").field("topic", &self.topic).field("name", &self.name).finish_non_exhaustive()
    }
}

fn case(topic: &'static str, name: String, run: impl Fn(&dyn AnyEngine) + Send + Sync + 'static) -> Derived {
    Derived { topic, name, run: Arc::new(run) }
}
