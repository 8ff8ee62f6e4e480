use portcullis::core::AnyEngine;

use super::{allocators, edges, signatures};

/// A trial that is derived from a row of a table.
pub struct Derived {
    /// Its name, as `topic::name`.
    pub name: String,
    /// Runs it, and panics if something else happens than should.
    pub run: Box<dyn Fn(&dyn AnyEngine) + Send>,
}

/// All of them.
pub fn derived() -> impl Iterator<Item = Derived> {
    let edges = edges::edges()
        .map(|edge| Derived { name: edge.name(), run: Box::new(move |engine: &dyn AnyEngine| edge.run(engine)) });
    let allocators = allocators::hostcalls().map(|hostcall| Derived {
        name: format!("hostile_allocators::{hostcall}"),
        run: Box::new(move |engine| allocators::run(hostcall, engine)),
    });
    let signatures = signatures::exports().map(|export| Derived {
        name: format!("hostile_signatures::{export}"),
        run: Box::new(move |engine| signatures::run(export, engine)),
    });
    edges.chain(allocators).chain(signatures)
}
