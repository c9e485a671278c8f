//! etcd and an API server, with nothing that schedules or runs pods.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio::process::Child;

use crate::{island::NODE, program, wait::until};

/// Where the API server answers.
const SERVER: &str = "https://127.0.0.1:6443";
/// The operator's name to the API server.
pub const OPERATOR: &str = "breakwater";
/// Another user, who is treated as the operator is; `admin` would not have to queue.
pub const NEIGHBOUR: &str = "neighbour";
/// Only what the operator asks is written down.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata, users: [breakwater]}, {level: None}]";
/// It has so long to start.
const START: Duration = Duration::from_secs(90);

/// A running control plane; it ends when this is dropped, and leaves nothing.
pub struct ControlPlane {
    /// Client of one who may do everything.
    pub client: Client,
    folder: TempDir,
    _programs: Vec<Child>,
}

impl ControlPlane {
    /// Starts it from the programs in a folder: `etcd` and `kube-apiserver`.
    ///
    /// # Errors
    /// Where one is missing or does not answer.
    pub async fn start(programs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("breakwater-size-").tempdir()?;
        let state = folder.path();
        certificates(state)?;
        fs::write(state.join("audit.yaml"), AUDIT)?;
        let at = |file: &str| state.join(file).display().to_string();
        let etcd = [
            format!("--data-dir={}", at("etcd")),
            "--listen-client-urls=http://127.0.0.1:2379".into(),
            "--advertise-client-urls=http://127.0.0.1:2379".into(),
            "--listen-peer-urls=http://127.0.0.1:2380".into(),
            "--unsafe-no-fsync".into(),
        ];
        let api_server = [
            "--etcd-servers=http://127.0.0.1:2379".into(),
            format!("--advertise-address={NODE}"),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--authorization-mode=RBAC".into(),
            // Nobody is there who makes the service account that pods would need.
            "--disable-admission-plugins=ServiceAccount".into(),
            format!("--tls-cert-file={}", at("server.crt")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--client-ca-file={}", at("ca.crt")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", at("accounts.pub")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            format!("--audit-policy-file={}", at("audit.yaml")),
            format!("--audit-log-path={}", at("audit.log")),
            // At 100 MB it would begin another file.
            "--audit-log-maxsize=16384".into(),
        ];
        // Beside ten thousand objects it would spend half of its time on collecting garbage, in memory that this machine has.
        let rarely = [("GOGC", "400".as_ref())];
        let start = |name: &str, flags: &[String], environment: &[_]| {
            program::start(&programs.join(name), flags, environment, &state.join(format!("{name}.log")))
        };
        let mut running = vec![start("etcd", &etcd, &[])?, start("kube-apiserver", &api_server, &rarely)?];
        let client = connect(&kubeconfig(state, "admin")?).await?;
        let ready = until("the API server", START, async || {
            for program in &mut running {
                ensure!(program.try_wait()?.is_none(), "a program ended");
            }
            let request = axum::http::Request::get("/readyz").body(vec![])?;
            Ok(client.request_text(request).await.ok())
        });
        ready.await.with_context(|| tail(&state.join("kube-apiserver.log")))?;
        Ok(Self { client, folder, _programs: running })
    }

    /// A folder that is gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig of a user: the operator, its neighbour or `admin`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        kubeconfig(self.folder.path(), user)
    }

    /// A client of the neighbour.
    ///
    /// # Errors
    /// Where its kubeconfig cannot be written.
    pub async fn neighbour(&self) -> Result<Client> {
        connect(&self.kubeconfig(NEIGHBOUR)?).await
    }

    /// What the operator asked so far.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn audit_log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("audit.log"))?)
    }
}

async fn connect(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?)?)
}

fn kubeconfig(state: &Path, user: &str) -> Result<PathBuf> {
    let at = |file: &str| state.join(file).display().to_string();
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "size",
        "clusters": [{"name": "size", "cluster": {"server": SERVER, "certificate-authority": at("ca.crt")}}],
        "users": [{"name": user, "user": {
            "client-certificate": at(&format!("{user}.crt")), "client-key": at(&format!("{user}.key"))}}],
        "contexts": [{"name": "size", "context": {"cluster": "size", "user": user}}]
    });
    let file = state.join(format!("kubeconfig-{user}"));
    fs::write(&file, text.to_string())?;
    Ok(file)
}

fn certificates(state: &Path) -> Result<()> {
    let save = |file: &str, text: String| fs::write(state.join(file), text);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "size-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    save("ca.crt", ca.pem())?;
    let sign = |file: &str, names: Vec<String>, group: Option<&str>| -> Result<()> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, file);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        save(&format!("{file}.crt"), params.signed_by(&key, &ca)?.pem())?;
        Ok(save(&format!("{file}.key"), key.serialize_pem())?)
    };
    sign("server", ["localhost", "127.0.0.1", NODE].map(str::to_owned).to_vec(), None)?;
    sign("admin", vec![], Some("system:masters"))?;
    sign(OPERATOR, vec![], None)?;
    sign(NEIGHBOUR, vec![], None)?;
    let accounts = KeyPair::generate()?;
    save("accounts.key", accounts.serialize_pem())?;
    Ok(save("accounts.pub", accounts.public_key_pem())?)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
