//! What runs leave behind can be read by machines as published, and by people.

use std::fs;

use boon::{Compiler, Schemas};
use serde_json::Value;

use crate::common::world::{World, files_below};

/// Every event of every run is what `wire-deploy schema events` says.
pub fn events_keep_to_their_schema(world: &World) {
    const NAME: &str = "https://localhost/events.json";
    let schema = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/events.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource(NAME, serde_json::from_str(&schema).unwrap()).unwrap();
    let schema = compiler.compile(NAME, &mut schemas).unwrap();
    let mut count = 0;
    for path in files_below(&world.file("runs")).iter().filter(|path| path.ends_with("events.jsonl")) {
        for line in fs::read_to_string(path).unwrap().lines() {
            // A run that was killed may have left half a line.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            if let Err(error) = schemas.validate(&event, schema) {
                panic!("{}: {error}\n{line}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 100, "only {count} events were recorded");
}
