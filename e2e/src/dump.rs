//! What is printed of a laboratory in which a test failed.

use crate::tools::kubectl;

/// Pods, events, experiments and logs of a namespace, to standard error.
pub async fn dump(namespace: &str) {
    let in_namespace =
        |args: &[&str]| [&["-n", namespace], args].concat().into_iter().map(String::from).collect::<Vec<_>>();
    for args in [
        in_namespace(&["get", "pods", "-o", "wide"]),
        in_namespace(&["get", "events", "--sort-by=.lastTimestamp"]),
        in_namespace(&["get", "chaosexperiments", "-o", "yaml"]),
        in_namespace(&["logs", "-l", "app.kubernetes.io/component=operator", "--tail=100"]),
        in_namespace(&["logs", "-l", "app=client", "--tail=60"]),
    ] {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        eprintln!("\n--- kubectl {}", args.join(" "));
        match kubectl(&args, "").await {
            Ok(printed) => eprintln!("{}{}", printed.out, printed.err),
            Err(error) => eprintln!("{error:#}"),
        }
    }
}
