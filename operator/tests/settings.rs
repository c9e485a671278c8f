//! What the operator refuses to start with, and how it says so.

use std::process::Command;

#[test]
fn a_bad_setting_is_named_and_ends_the_program_with_code_2() {
    for (name, value, words) in [
        ("OPERATOR_LISTEN", "everywhere", "--listen"),
        ("OPERATOR_NAMESPACES", "shop,kube-system", "no experiment runs in kube-system"),
        ("OPERATOR_NAMESPACES", "The Shop", "lower-case letters"),
        ("OPERATOR_REQUIRE_LABEL", "maybe", "--require-label"),
        ("LOG_FORMAT", "xml", "[possible values: text, json]"),
        ("POD_NAME", "operator-1", "--pod-namespace"),
        ("RUST_LOG", "breakwater_operator=loud", "RUST_LOG"),
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_breakwater-operator"))
            .env_clear()
            .env(name, value)
            .output()
            .expect("the operator can be started");
        let said = String::from_utf8_lossy(&program.stderr);
        assert!(program.status.code() == Some(2) && said.contains(words), "{name}={value}: {} {said}", program.status);
    }
}
