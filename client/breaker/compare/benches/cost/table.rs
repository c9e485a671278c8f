//! What criterion has measured, as a table in Markdown.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use crate::{Line, ends};

/// Prints nanoseconds a call, and beside each peer's how many times ours it is.
pub fn print(lines: &[Line], threads: &[u64]) {
    let names: BTreeSet<&str> = lines.iter().flat_map(|line| &line.subjects).map(|(name, _)| *name).collect();
    let peers: Vec<_> = names.into_iter().filter(|name| *name != "breakwater").collect();
    println!("\n| | threads | breakwater | {} |", peers.join(" | "));
    println!("|---|---|{}", "---|".repeat(peers.len() + 1));
    for line in lines {
        for threads in threads {
            let quickest = |subject: &str| quickest(&format!("{}, {threads}", line.name), subject);
            let Some(ours) = quickest("breakwater") else { continue };
            let cells = peers.iter().map(|peer| {
                let has = line.subjects.iter().any(|(name, _)| name == peer && ends(line, name, *threads));
                let theirs = quickest(peer).filter(|_| has);
                theirs.map_or("–".into(), |theirs| format!("{theirs:.1} ns ({:.1}×)", theirs / ours))
            });
            println!("| {} | {threads} | **{ours:.1} ns** | {} |", line.name, cells.collect::<Vec<_>>().join(" | "));
        }
    }
}

/// The quickest tenth of the samples that criterion wrote down begins here.
fn quickest(group: &str, subject: &str) -> Option<f64> {
    let root = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), Into::into);
    let path = root.join("criterion").join(group).join(subject).join("new/sample.json");
    let sample: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let numbers = |field: &str| sample[field].as_array().map(|all| all.iter().filter_map(serde_json::Value::as_f64));
    let mut costs: Vec<f64> = numbers("times")?.zip(numbers("iters")?).map(|(time, calls)| time / calls).collect();
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 10).copied()
}
