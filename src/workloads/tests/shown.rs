//! What is rendered, for a person to read: YAML, without what is secret or merely long.

use std::fmt::Write as _;

use serde_json::Value;

use super::World;

/// Longer texts are looked at by tests of their own.
const LONGEST: usize = 300;

/// All workloads of a world, and what was found.
pub fn all(world: &World) -> String {
    let mut text = String::new();
    for finding in super::super::examine(world.sources()).unwrap() {
        writeln!(text, "{:?} {}: {} ({})", finding.severity, finding.workload, finding.message, finding.hint).unwrap();
    }
    for workload in world.workloads() {
        let after: Vec<&str> = workload.after.iter().map(crate::site::names::WorkloadName::as_str).collect();
        writeln!(text, "\n=== {} after [{}], {} s", workload.name, after.join(", "), workload.gate_timeout_seconds)
            .unwrap();
        for manifest in &workload.manifests {
            writeln!(text, "--- {} ({})", manifest.id, manifest.template).unwrap();
            let mut value = manifest.value.clone();
            if manifest.id.is_secret() {
                for (_, secret) in value["data"].as_object_mut().unwrap() {
                    *secret = Value::from(format!("(secret of {} characters)", secret.as_str().unwrap().len()));
                }
            }
            write(&mut text, &value, 0);
        }
    }
    text
}

fn write(text: &mut String, value: &Value, depth: usize) {
    let margin = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            for (key, below) in members {
                match below {
                    Value::String(long) if long.lines().count() > LONGEST => {
                        writeln!(text, "{margin}{key}: ({} lines)", long.lines().count()).unwrap();
                    }
                    Value::String(long) if long.contains('\n') => {
                        writeln!(text, "{margin}{key}: |").unwrap();
                        without_keys(long).for_each(|line| writeln!(text, "{margin}  {line}").unwrap());
                    }
                    Value::Object(inner) if !inner.is_empty() && !is_short(below) => {
                        writeln!(text, "{margin}{key}:").unwrap();
                        write(text, below, depth + 1);
                    }
                    Value::Array(inner) if !inner.is_empty() && !is_short(below) => {
                        writeln!(text, "{margin}{key}:").unwrap();
                        write(text, below, depth + 1);
                    }
                    _ => writeln!(text, "{margin}{key}: {below}").unwrap(),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_short(item) {
                    writeln!(text, "{margin}- {item}").unwrap();
                } else {
                    writeln!(text, "{margin}-").unwrap();
                    write(text, item, depth + 1);
                }
            }
        }
        scalar => writeln!(text, "{margin}{scalar}").unwrap(),
    }
}

fn is_short(value: &Value) -> bool {
    let text = value.to_string();
    text.len() <= 100 && !text.contains("\\n")
}

/// The lines of a text, of PEM only the first.
fn without_keys(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let begins = line.starts_with("-----BEGIN");
        let shown = !inside || begins;
        inside = begins || (inside && !line.starts_with("-----END"));
        shown
    })
}
