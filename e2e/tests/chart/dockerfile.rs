//! The Dockerfile makes the images that the chart runs, out of the packages that there are.

use std::process::Command;

use serde_json::Value;

use crate::helm::{VERSION, pods, read, root, template};

const IMAGES: &[&str] = &["operator", "backend", "client"];

/// The Dockerfile's instructions: comments dropped, continued lines joined.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile");
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|l| !l.is_empty()).collect()
}

/// The instructions of the stage with this name, the `FROM` first.
fn stage(name: &str) -> Vec<String> {
    let all = instructions();
    let starts = |line: &String| line.starts_with("FROM ") && line.ends_with(&format!(" AS {name}"));
    let start = all.iter().position(starts).unwrap_or_else(|| panic!("the Dockerfile has no stage {name}"));
    let length = all[start + 1..].iter().take_while(|line| !line.starts_with("FROM ")).count();
    all[start..=start + length].to_vec()
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let args = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(args).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

#[test]
fn each_image_holds_the_program_of_one_package() {
    let metadata = metadata();
    let build = stage("build").join("\n");
    for image in IMAGES {
        let name = format!("breakwater-{image}");
        let packages = metadata["packages"].as_array().expect("packages");
        let package = packages.iter().find(|p| p["name"] == *name).unwrap_or_else(|| panic!("no package {name}"));
        let targets = package["targets"].as_array().expect("targets");
        assert!(targets.iter().any(|t| t["kind"][0] == "bin" && t["name"] == *name), "{name} has no program {name}");
        assert!(build.contains(&format!("--package {name} ")), "the Dockerfile does not build {name}");

        let stage = stage(image);
        let description = package["description"].as_str().expect("a description");
        let label = format!("org.opencontainers.image.description=\"{description}\"");
        assert!(stage.iter().any(|line| line.contains(&label)), "{image} is not described as in its Cargo.toml");
        for line in [
            "FROM base AS IMAGE".replace("IMAGE", image),
            format!("COPY --from=build /out/{name} /{name}"),
            format!("ENTRYPOINT [\"/{name}\"]"),
        ] {
            assert!(stage.contains(&line), "stage {image} lacks {line:?}: {stage:#?}");
        }
    }
}

#[test]
fn images_are_empty_and_run_as_the_user_that_the_chart_names() {
    let base = stage("base");
    assert_eq!(base[0], "FROM scratch AS base");
    for (title, spec) in pods(&template(&[])) {
        let context = &spec["securityContext"];
        let user = format!("USER {}:{}", context["runAsUser"], context["runAsGroup"]);
        assert!(base.contains(&user), "{title} wants {user:?}: {base:#?}");
    }
    for image in IMAGES {
        assert!(!stage(image).iter().any(|line| line.starts_with("USER ")), "{image} changes its user");
    }
}

#[test]
fn images_listen_where_the_chart_says() {
    let objects = template(&[]);
    let containers: Vec<_> = pods(&objects).into_iter().filter_map(|(_, spec)| spec["containers"].get(0)).collect();
    for image in IMAGES {
        let container =
            containers.iter().find(|c| c["name"] == *image).unwrap_or_else(|| panic!("no pod runs {image}"));
        let port = container["ports"][0]["containerPort"].as_u64().expect("a port");
        assert!(stage(image).contains(&format!("EXPOSE {port}")), "{image} does not expose {port}");
    }
}

#[test]
fn images_are_built_by_the_pinned_compiler_and_carry_the_version() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a channel");
    let (minor, _patch) = channel.rsplit_once('.').expect("a version of three numbers");
    assert_eq!(stage("build")[0], format!("FROM rust:{minor}-slim-bookworm AS build"));
    assert!(instructions().contains(&format!("ARG VERSION={VERSION}")));
}

#[test]
fn every_member_of_the_workspace_reaches_the_build() {
    let ignored = read(".dockerignore");
    for package in metadata()["packages"].as_array().expect("packages") {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let folder = std::path::Path::new(manifest).strip_prefix(root()).expect("a path inside the workspace");
        let top = folder.iter().next().expect("a folder").to_str().expect("UTF-8");
        assert!(ignored.lines().any(|line| line == format!("!{top}")), ".dockerignore keeps {top} out");
    }
}

#[test]
fn the_tool_that_lists_a_programs_crates_is_the_one_that_the_local_images_are_built_with() {
    let build = stage("build").join("\n");
    let (_, version) = build.split_once("cargo-auditable --version ").expect("the Dockerfile installs cargo-auditable");
    let version = version.split_whitespace().next().expect("a version");
    let used = format!("name: \"cargo-auditable\", version: \"{version}\"");
    assert!(read("xtask/src/images.rs").contains(&used), "xtask/src/images.rs uses another version than {version}");
}
