//! Writes the CustomResourceDefinition to where it is used: `cargo crdgen`.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [crds.join("chaosexperiments.yaml"), crds.join("../charts/breakwater/files/chaosexperiments.yaml")] {
        fs::create_dir_all(file.parent().expect("the path has a folder"))?;
        fs::write(&file, breakwater_crds::crd_yaml())?;
        println!("{}", file.canonicalize()?.display());
    }
    Ok(())
}
