//! The README says what the program takes.

use std::process::Command;

#[test]
fn the_readme_lists_every_flag_with_its_environment_and_default() {
    let output = Command::new(env!("CARGO_BIN_EXE_breakwater-backend")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let readme = include_str!("../README.md");
    let mut flags = 0;
    // clap writes a flag, its sentence and its environment below one another.
    for part in help.split("\n      --").skip(1).map(|part| part.split("\n  -").next().unwrap()) {
        let flag = part.split([' ', '\n']).next().unwrap();
        let between =
            |before: &str, after: char| Some(part.split_once(before)?.1.split(after).next().unwrap().to_owned());
        let Some(environment) = between("[env: ", '=') else { panic!("--{flag} has no environment: {part}") };
        let row = readme.lines().find(|line| line.starts_with(&format!("| `--{flag}` | `{environment}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for --{flag}, {environment}"));
        if let Some(default) = between("[default: ", ']') {
            assert!(row.contains(&format!("| `{default}` |")), "{row} has not the default {default}");
        }
        flags += 1;
    }
    assert_eq!(flags, 7, "{help}");
}
