//! A namespace with an operator, a backend and a client of its own.

use std::{panic::AssertUnwindSafe, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_breaker::wire::StatusReport;
use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, Run};
use futures::FutureExt;
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use tokio::sync::OnceCell;

use crate::{
    SOON, dump,
    tools::{self, Printed, helm, kubectl},
    wait::until,
};

/// What a release has that belongs to no namespace.
pub const CLUSTER_WIDE: &str = "validatingadmissionpolicybindings,validatingadmissionpolicies,\
    mutatingadmissionpolicybindings,mutatingadmissionpolicies,clusterrolebindings,clusterroles";

/// By this label the operator's objects are known.
const OPERATOR: &str = "app.kubernetes.io/component=operator";

/// A test's own part of the cluster.
pub struct Lab {
    /// Its namespace.
    pub namespace: String,
    /// A client of the API server, with every right.
    pub client: Client,
}

/// Runs a test in a laboratory; `values` are further values for the chart, such as `demo.backend.replicas=3`.
///
/// # Panics
/// Where the test fails, after the laboratory was printed.
pub async fn lab(name: &str, values: &[&str], test: impl AsyncFnOnce(&Lab) -> Result<()>) {
    in_namespace(name, async |lab| {
        lab.install(values).await?;
        test(lab).await
    })
    .await;
}

/// Runs a test in a laboratory whose operator runs the experiments of every namespace that opts in. There is no demo in it.
///
/// # Panics
/// Where the test fails, after the laboratory was printed.
pub async fn open_lab(name: &str, values: &[&str], test: impl AsyncFnOnce(&Lab) -> Result<()>) {
    // Of two releases that serve all namespaces neither lets the other's operator write a status.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ONE_AT_A_TIME.lock().await;
    in_namespace(name, async |lab| {
        // What belongs to no namespace must not clash with another release's.
        let name = format!("fullnameOverride={}", lab.namespace);
        lab.helm_install(&[&[name.as_str(), "demo.enabled=false"], values].concat()).await?;
        test(lab).await
    })
    .await;
}

/// Runs a test in a namespace of its own in which there is nothing, but for the definition of experiments.
///
/// # Panics
/// Where the test fails, after the namespace was printed.
pub async fn bare(name: &str, test: impl AsyncFnOnce(Client, &str) -> Result<()>) {
    in_namespace(name, async |lab| test(lab.client.clone(), &lab.namespace).await).await;
}

async fn in_namespace(name: &str, test: impl AsyncFnOnce(&Lab) -> Result<()>) {
    let lab = Lab::make(name).await.expect("a namespace can be made; `cargo e2e` brings a cluster for these tests");
    let outcome = AssertUnwindSafe(test(&lab)).catch_unwind().await;
    if !matches!(outcome, Ok(Ok(()))) {
        dump::dump(&lab.namespace).await;
    }
    if std::env::var_os("BREAKWATER_E2E_KEEP").is_none() {
        lab.remove().await;
    }
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("{error:?}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Lab {
    async fn make(name: &str) -> Result<Self> {
        let client = connect().await?;
        install_crd().await?;
        let labels = [("pod-security.kubernetes.io/enforce".to_string(), "restricted".to_string())].into();
        let metadata =
            ObjectMeta { generate_name: Some(format!("e2e-{name}-")), labels: Some(labels), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let made = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(Self { namespace: made.name_any(), client })
    }

    /// An operator that may touch this namespace alone, and the demo.
    async fn install(&self, values: &[&str]) -> Result<()> {
        let own = format!("operator.watchNamespaces={{{}}}", self.namespace);
        self.helm_install(&[&[own.as_str()], values].concat()).await
    }

    /// The chart, with these values, into this namespace.
    async fn helm_install(&self, values: &[&str]) -> Result<()> {
        let chart = tools::root().join("charts/breakwater");
        let chart = chart.to_str().context("the path of the checkout is text")?;
        let mut args =
            vec!["install", "breakwater", chart, "--namespace", &self.namespace, "--wait", "--timeout", "3m"];
        for value in ["crds.install=false"].iter().chain(values) {
            args.extend(["--set", *value]);
        }
        helm(&args).await?.text().context("helm install").map(drop)
    }

    /// The demo in another namespace as well, by no release.
    ///
    /// # Errors
    /// Where it is not ready in time.
    pub async fn demo_in(&self, namespace: &str) -> Result<()> {
        let chart = tools::root().join("charts/breakwater");
        let chart = chart.to_str().context("the path of the checkout is text")?;
        let demo = format!("demo.namespace={namespace}");
        let only = |part| ["--show-only", part];
        let parts = [only("templates/demo/backend.yaml"), only("templates/demo/client.yaml")].concat();
        let rendered =
            helm(&[&["template", "breakwater", chart, "--set", &demo], &parts[..]].concat()).await?.text()?;
        kubectl(&["apply", "-f", "-"], &rendered).await?.text()?;
        let ready = ["-n", namespace, "wait", "deployment", "--all", "--for=condition=Available", "--timeout=2m"];
        kubectl(&ready, "").await?.text().map(drop)
    }

    async fn remove(&self) {
        // Before its roles: an operator that finds itself without rights would complain, and the audit log is read for that.
        let operator = ["delete", "deployment", "-l", OPERATOR, "--cascade=foreground", "--timeout=20s"];
        if let Err(error) = self.kubectl(&operator, "").await.and_then(Printed::text) {
            eprintln!("the operator in {} may go on for a moment: {error:#}", self.namespace);
        }
        if let Err(error) = self.remove_cluster_wide().await {
            eprintln!("policies and roles of {} may be left: {error:#}", self.namespace);
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if let Err(error) = namespaces.delete(&self.namespace, &DeleteParams::background()).await {
            eprintln!("namespace {} is left: {error}", self.namespace);
        }
    }

    /// What belongs to no namespace would outlive this one, whose name it bears.
    async fn remove_cluster_wide(&self) -> Result<()> {
        let there = kubectl(&["get", CLUSTER_WIDE, "--output=name"], "").await?.text()?;
        let own: Vec<_> = there.lines().filter(|name| name.contains(&self.namespace)).collect();
        if own.is_empty() {
            return Ok(());
        }
        kubectl(&[&["delete", "--ignore-not-found", "--wait=false"], &own[..]].concat(), "").await?.text().map(drop)
    }

    /// `kubectl -n NAMESPACE ARGS`, with this text on its standard input.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub async fn kubectl(&self, args: &[&str], input: &str) -> Result<Printed> {
        kubectl(&[&["-n", self.namespace.as_str()], args].concat(), input).await
    }

    /// `kubectl apply` of one of the examples.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn apply_example(&self, name: &str) -> Result<()> {
        let path = tools::root().join(format!("crds/examples/{name}.yaml"));
        self.apply(&std::fs::read_to_string(path)?).await
    }

    /// `kubectl apply` of a manifest.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn apply(&self, manifest: &str) -> Result<()> {
        self.kubectl(&["apply", "-f", "-"], manifest).await?.text().map(drop)
    }

    /// The experiments of the namespace.
    pub fn experiments(&self) -> Api<ChaosExperiment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods with this label, such as `app=backend`.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn pods_with(&self, label: &str) -> Result<Vec<Pod>> {
        Ok(self.pods().list(&ListParams::default().labels(label)).await?.items)
    }

    /// Their uids.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub async fn uids(&self, label: &str) -> Result<Vec<String>> {
        Ok(self.pods_with(label).await?.iter().filter_map(ResourceExt::uid).collect())
    }

    /// The only pod with this label.
    ///
    /// # Errors
    /// Where there is not exactly one.
    pub async fn pod(&self, label: &str) -> Result<Pod> {
        let mut pods = self.pods_with(label).await?;
        ensure!(pods.len() == 1, "{} pods with {label}", pods.len());
        Ok(pods.remove(0))
    }

    /// A ConfigMap of the namespace.
    ///
    /// # Errors
    /// Where it is not there.
    pub async fn config_map(&self, name: &str) -> Result<ConfigMap> {
        Ok(Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace).get(name).await?)
    }

    /// Makes a copy of a pod with this label that nobody owns, and waits until it is ready; gives its uid. The labels by which
    /// ReplicaSets adopt pods are left out.
    ///
    /// # Errors
    /// Where it is not ready in time.
    pub async fn pod_like(&self, label: &str, name: &str) -> Result<String> {
        let pods = self.pods_with(label).await?;
        let model = pods.first().context("there is a pod to copy")?;
        let mut labels = model.labels().clone();
        labels.remove("pod-template-hash");
        let metadata = ObjectMeta { name: Some(name.into()), labels: Some(labels), ..ObjectMeta::default() };
        let mut spec = model.spec.clone();
        if let Some(spec) = &mut spec {
            spec.node_name = None;
        }
        let made = self.pods().create(&PostParams::default(), &Pod { metadata, spec, status: None }).await?;
        let wait = format!("pod/{name}");
        self.kubectl(&["wait", &wait, "--for=condition=Ready", "--timeout=60s"], "").await?.text()?;
        made.uid().context("it has a uid")
    }

    /// An experiment's status, once it meets a condition.
    ///
    /// # Errors
    /// Where it does not within `limit`.
    pub async fn status(
        &self,
        name: &str,
        limit: Duration,
        condition: impl Fn(&ChaosExperimentStatus) -> bool,
    ) -> Result<ChaosExperimentStatus> {
        let experiments = self.experiments();
        until(&format!("the status of {name}"), limit, async || {
            let status = experiments.get(name).await?.status;
            let said = status.as_ref().map(|status| (status.phase, status.reason, status.message.clone()));
            status.filter(&condition).map(Some).with_context(|| format!("it says {said:?}"))
        })
        .await
    }

    /// An experiment's status once it is complete, as `kubectl wait --for=condition=Complete` sees it.
    ///
    /// # Errors
    /// Where it does not complete.
    pub async fn complete(&self, name: &str) -> Result<ChaosExperimentStatus> {
        let name = format!("chaosexperiments/{name}");
        let limit = format!("--timeout={}s", crate::RUN.as_secs());
        self.kubectl(&["wait", &name, "--for=condition=Complete", &limit], "").await?.text()?;
        let text = self.kubectl(&["get", &name, "-o", "json"], "").await?.text()?;
        let experiment: ChaosExperiment = serde_json::from_str(&text)?;
        experiment.status.context("a complete experiment has a status")
    }

    /// What a client's own status endpoint says, through the API server.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn client_report(&self, pod: &str) -> Result<StatusReport> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/status", self.namespace);
        let text = kubectl(&["get", "--raw", &path], "").await?.text()?;
        Ok(serde_json::from_str(&text)?)
    }

    /// What the operator's own metrics say, through the API server.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn operator_metrics(&self) -> Result<String> {
        let pod = self.pod("app.kubernetes.io/component=operator").await?.name_any();
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/metrics", self.namespace);
        kubectl(&["get", "--raw", &path], "").await?.text()
    }

    /// A pod's log.
    ///
    /// # Errors
    /// Where the API server does not give it.
    pub async fn log(&self, pod: &str) -> Result<String> {
        Ok(self.pods().logs(pod, &LogParams::default()).await?)
    }
}

/// Installs the definition, once for all tests; server-side, so that it does not matter who was there before.
///
/// # Errors
/// Where the API server does not take it.
pub async fn install_crd() -> Result<()> {
    static CRD: OnceCell<()> = OnceCell::const_new();
    CRD.get_or_try_init(reinstall_crd).await.copied()
}

/// Installs the definition, whether it was installed before or not.
///
/// # Errors
/// Where the API server does not take it.
pub async fn reinstall_crd() -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(connect().await?);
    let crd = breakwater_crds::crd();
    definitions.patch(&crd.name_any(), &PatchParams::apply("e2e").force(), &Patch::Apply(&crd)).await?;
    until("the definition is served", SOON, async || {
        let crd = definitions.get(&crd.name_any()).await?;
        let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|one| one.type_ == "Established" && one.status == "True").then_some(()))
    })
    .await
}

async fn connect() -> Result<Client> {
    Client::try_default().await.context("no cluster; run `cargo e2e`, or set KUBECONFIG")
}

/// The run of a status.
///
/// # Errors
/// Where there is none.
pub fn run_of(status: &ChaosExperimentStatus) -> Result<&Run> {
    status.run.as_ref().context("the status has no run")
}
