//! `cargo demo`: from a fresh checkout to a verdict.

mod follow;
mod ours;
mod timeline;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use breakwater_crds::Verdict;

use crate::cluster::{Choice, Cluster};
use crate::command;
use crate::images::{self, Packed};
use crate::steps::Steps;
use crate::wait;
use crate::workspace::Workspace;

/// The operator's namespace and the demo services'.
const OPERATOR_NAMESPACE: &str = "breakwater-system";
const DEMO_NAMESPACE: &str = "shop";
const EXPERIMENT: &str = "backend-outage";
/// By this label a namespace lets experiments in.
const OPT_IN: &str = "chaos.breakwater.dev/experiments=allowed";

/// From the definition's installation until every part of the API server knows it.
const SERVED_LIMIT: Duration = Duration::from_secs(90);

/// Arguments of `cargo demo`.
#[derive(clap::Args)]
pub struct Args {
    /// On which cluster
    #[arg(long, value_enum, default_value_t)]
    cluster: Choice,
}

/// Runs the whole of it; succeeds only with the verdict Passed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut steps = Steps::default();
    let cluster = steps.run("A cluster", || Cluster::up(&workspace, args.cluster))?;
    ours::ensure(&cluster)?;
    let images = steps.run("Images of operator, backend and client", || images::build(&workspace))?;
    steps.run("Load the images", || cluster.load(&images))?;
    steps.run("helm install", || install(&cluster, &workspace, &images))?;
    let kubectl = |arguments: &[&str]| {
        let mut kubectl = cluster.kubectl();
        kubectl.args(["--namespace", DEMO_NAMESPACE]).args(arguments);
        kubectl
    };
    let file = workspace.root.join(format!("crds/examples/{EXPERIMENT}.yaml"));
    // The API server's policies take up to half a minute to know a kind that is new; until then it takes no experiment.
    steps.run("The API server takes experiments", || {
        let dry = || command::output(kubectl(&["apply", "--dry-run=server", "--filename"]).arg(&file)).ok();
        wait::until("an experiment is taken", SERVED_LIMIT, || Ok(dry())).map(drop)
    })?;
    steps.run("kubectl apply -f crds/examples/backend-outage.yaml", || {
        command::run(&mut kubectl(&["delete", "chaosexperiments", EXPERIMENT, "--ignore-not-found"]))?;
        command::run(kubectl(&["apply", "--filename"]).arg(&file))
    })?;
    let status = steps.run("The experiment", || {
        let watch = ["get", "chaosexperiments", EXPERIMENT, "--watch", "--output=json", "--request-timeout=5m"];
        follow::follow(kubectl(&watch))
    })?;

    println!("\n$ kubectl get chaosexperiments -A");
    command::run(&mut kubectl(&["get", "chaosexperiments", "--all-namespaces"]))?;
    println!("\n{}", timeline::draw(&status));
    let verdict = status.verdict.map_or("none".to_owned(), |verdict| format!("{verdict:?}"));
    println!("Verdict: {verdict}. {}\n", status.message.unwrap_or_default());
    print!("{}", steps.table());
    println!("\nTo look on:  export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("             kubectl -n {DEMO_NAMESPACE} get chaosexperiments {EXPERIMENT} -o yaml");
    println!("             kubectl -n {DEMO_NAMESPACE} logs deployment/client");
    println!("To stop:     cargo cluster down");
    Ok(if status.verdict == Some(Verdict::Passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn install(cluster: &Cluster<'_>, workspace: &Workspace, images: &[Packed]) -> Result<()> {
    let manifest = command::output(cluster.kubectl().args([
        "create",
        "namespace",
        DEMO_NAMESPACE,
        "--dry-run=client",
        "--output=json",
    ]))?;
    command::feed(cluster.kubectl().args(["apply", "--filename=-"]), &manifest)?;
    command::run(cluster.kubectl().args(["label", "namespace", DEMO_NAMESPACE, "--overwrite", OPT_IN, ours::LABEL]))?;
    give_up_what_was_cut_off(cluster)?;
    let mut helm = cluster.tool("helm");
    helm.args(["upgrade", "--install", "breakwater"]).arg(workspace.root.join("charts/breakwater"));
    helm.args(["--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout=3m"]);
    // The definition may be there already, by another hand, such as the end-to-end tests.
    helm.arg("--take-ownership").arg("--hide-notes").args(["--labels", ours::LABEL]);
    helm.arg("--set").arg(format!("demo.namespace={DEMO_NAMESPACE}"));
    // The tag stays the same from build to build: pods are replaced when the digest that they are told of changes.
    for (values, Packed { digest, .. }) in ["operator", "demo.backend", "demo.client"].into_iter().zip(images) {
        helm.arg("--set-string").arg(format!("{values}.podAnnotations.imageDigest={digest}"));
    }
    command::run(&mut helm).with_context(|| {
        let pods = cluster.kubectl().args(["get", "pods", "--all-namespaces"]).output();
        let pods = pods.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        format!("the pods are:\n{pods}")
    })
}

/// Takes the demo away, if it is there: its operator would run the experiments of every namespace. Somebody else's release is an error.
pub fn remove(cluster: &Cluster<'_>) -> Result<()> {
    ours::ensure(cluster)?;
    let mut helm = cluster.tool("helm");
    helm.args(["uninstall", "breakwater", "--namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--wait"]);
    command::run(&mut helm)
}

/// Helm refuses to touch a release whose installation was interrupted: it is removed.
fn give_up_what_was_cut_off(cluster: &Cluster<'_>) -> Result<()> {
    let helm = |arguments: &[&str]| -> Command {
        let mut helm = cluster.tool("helm");
        helm.args(arguments).args(["breakwater", "--namespace", OPERATOR_NAMESPACE]);
        helm
    };
    let Ok(status) = command::output(&mut helm(&["status", "--output=json"])) else { return Ok(()) };
    let status: serde_json::Value = serde_json::from_str(&status).context("helm status printed no JSON")?;
    if status["info"]["status"].as_str().is_some_and(|status| status.starts_with("pending")) {
        println!("An earlier installation was cut off: removing it first.");
        command::run(&mut helm(&["uninstall", "--wait"]))?;
    }
    Ok(())
}
