//! The cluster's certificates. They hold for ever, as the cluster is thrown away.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::STATE;
use super::config::ADDRESS;

/// The names under which programs, pods and the host reach the API server; 10.96.0.1 is the `kubernetes` Service.
const API_SERVER_NAMES: [&str; 7] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", "10.96.0.1", ADDRESS];

/// Makes a certificate authority and all that it signs.
pub fn write() -> Result<()> {
    fs::create_dir_all(format!("{STATE}/pki"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "breakwater-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    save("ca.crt", &ca.pem())?;
    save("ca.key", &ca.key().serialize_pem())?;

    let names: Vec<String> = API_SERVER_NAMES.map(str::to_owned).to_vec();
    sign("apiserver", CertificateParams::new(names)?, "kube-apiserver", ExtendedKeyUsagePurpose::ServerAuth, &ca)?;
    let mut admin = CertificateParams::default();
    admin.distinguished_name.push(DnType::OrganizationName, "system:masters");
    sign("admin", admin, "admin", ExtendedKeyUsagePurpose::ClientAuth, &ca)?;

    let service_accounts = KeyPair::generate()?;
    save("service-accounts.key", &service_accounts.serialize_pem())?;
    save("service-accounts.pub", &service_accounts.public_key_pem())
}

fn sign(
    file: &str,
    mut params: CertificateParams,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    ca: &CertifiedIssuer<'_, KeyPair>,
) -> Result<()> {
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate()?;
    save(&format!("{file}.crt"), &params.signed_by(&key, ca)?.pem())?;
    save(&format!("{file}.key"), &key.serialize_pem())
}

fn save(file: &str, text: &str) -> Result<()> {
    let path = format!("{STATE}/pki/{file}");
    fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?)
}
