//! Packs one program as a container image: an OCI layout with a single layer, in a tar archive.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, ConfigBuilder, Descriptor, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, Sha256Digest,
};
use sha2::{Digest, Sha256};

/// The key under which containerd looks for the whole name of an image that it imports.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// What is to be packed.
pub struct Image<'a> {
    /// The whole name: `docker.io/breakwater/backend:0.1.0`.
    pub name: &'a str,
    /// A static program.
    pub program: &'a Path,
    /// Its path in the image, which is the entry point too.
    pub entrypoint: &'a str,
    /// The numeric user that runs it.
    pub user: u32,
}

/// Writes the archive and gives the digest of its manifest. The same program gives the same bytes, on every machine and day.
pub fn write(image: &Image<'_>, file: &Path) -> Result<String> {
    let layer = layer(image)?;
    let layer_digest = sha256(&layer)?;
    let config = ImageConfigurationBuilder::default()
        .architecture(Arch::default())
        .os(Os::Linux)
        .config(
            ConfigBuilder::default()
                .user(image.user.to_string())
                .entrypoint(vec![image.entrypoint.to_owned()])
                .working_dir("/")
                .build()?,
        )
        .rootfs(
            RootFsBuilder::default()
                .typ("layers")
                .diff_ids(vec![format!("sha256:{}", layer_digest.digest())])
                .build()?,
        )
        .build()?;
    let config = serde_json::to_vec(&config)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(Descriptor::new(MediaType::ImageConfig, config.len() as u64, sha256(&config)?))
        .layers(vec![Descriptor::new(MediaType::ImageLayer, layer.len() as u64, layer_digest)])
        .build()?;
    let manifest = serde_json::to_vec(&manifest)?;
    let digest = sha256(&manifest)?;
    let tag = image.name.rsplit(':').next().unwrap_or(image.name);
    let mut entry = Descriptor::new(MediaType::ImageManifest, manifest.len() as u64, digest.clone());
    entry.set_annotations(Some(
        [(CONTAINERD_NAME, image.name), (ANNOTATION_REF_NAME, tag)]
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
    ));
    let index = ImageIndexBuilder::default().schema_version(2_u32).manifests(vec![entry]).build()?;

    fs::create_dir_all(file.parent().context("an archive needs a folder")?)?;
    let archive = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let mut archive = tar::Builder::new(archive);
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    append(&mut archive, "oci-layout", 0o644, &serde_json::to_vec(&layout)?)?;
    append(&mut archive, "index.json", 0o644, &sorted(&index)?)?;
    for blob in [&layer, &config, &manifest] {
        append(&mut archive, &format!("blobs/sha256/{}", sha256(blob)?.digest()), 0o644, blob)?;
    }
    archive.into_inner()?;
    Ok(format!("sha256:{}", digest.digest()))
}

fn layer(image: &Image<'_>) -> Result<Vec<u8>> {
    let program = fs::read(image.program).with_context(|| format!("cannot read {}", image.program.display()))?;
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, image.entrypoint.trim_start_matches('/'), 0o755, &program)?;
    Ok(layer.into_inner()?)
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    Ok(archive.append_data(&mut header, path, bytes)?)
}

/// JSON with its keys in order: the maps of annotations have none.
fn sorted(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}

fn sha256(bytes: &[u8]) -> Result<Sha256Digest> {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(hex.parse()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn packed(folder: &Path) -> (String, Vec<u8>) {
        fs::create_dir_all(folder).unwrap();
        let program = folder.join("program");
        fs::write(&program, "not really a program").unwrap();
        let image =
            Image { name: "docker.io/breakwater/x:1.2", program: &program, entrypoint: "/breakwater-x", user: 65532 };
        let file = folder.join("x.tar");
        let digest = write(&image, &file).unwrap();
        (digest, fs::read(file).unwrap())
    }

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        let folder = std::env::temp_dir().join(format!("breakwater-archive-{}", std::process::id()));
        assert_eq!(packed(&folder.join("a")), packed(&folder.join("b")));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_archive_is_whole() {
        let folder = std::env::temp_dir().join(format!("breakwater-archive-whole-{}", std::process::id()));
        let (digest, bytes) = packed(&folder);
        fs::remove_dir_all(folder).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        let json = |path: &str| serde_json::from_slice::<serde_json::Value>(&files[path]).unwrap();
        let blob = |descriptor: &serde_json::Value| {
            format!("blobs/sha256/{}", descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
        };
        let entry = &json("index.json")["manifests"][0];
        assert_eq!(entry["digest"], *digest);
        assert_eq!(entry["annotations"][CONTAINERD_NAME], "docker.io/breakwater/x:1.2");
        assert_eq!(entry["annotations"][ANNOTATION_REF_NAME], "1.2");
        let manifest = json(&blob(entry));
        let config = json(&blob(&manifest["config"]));
        assert_eq!(config["config"]["User"], "65532");
        assert_eq!(config["config"]["Entrypoint"][0], "/breakwater-x");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let layer = &files[&blob(&manifest["layers"][0])];
        let mut layer = tar::Archive::new(&layer[..]);
        let program = layer.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(program.path().unwrap().display().to_string(), "breakwater-x");
        assert_eq!(program.header().mode().unwrap(), 0o755);
    }
}
