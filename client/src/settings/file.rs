//! The file of settings: TOML whose keys are the flags' names, at its top for every target, in `[target.NAME]` for one.

use std::{fmt, fs, ops::Range, path::Path};

use clap::Command;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What a file says, not yet understood.
#[derive(Clone, Debug)]
pub struct File {
    name: String,
    text: String,
    /// What stands outside of targets.
    pub top: Vec<Entry>,
    /// The targets, as they stand one below the other.
    pub targets: Vec<TargetTable>,
}

/// `[target.NAME]`.
#[derive(Clone, Debug)]
pub struct TargetTable {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// What stands in it.
    pub entries: Vec<Entry>,
}

/// `KEY = VALUE`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name of a flag, without its dashes.
    pub key: String,
    /// The value, as it would stand on the command line.
    pub value: String,
    /// Where the value stands.
    pub place: Place,
}

/// Bytes of the file's text.
pub type Place = Range<usize>;

/// Why a file is refused: its line, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl File {
    /// Reads a file; whether its keys and values mean something is not looked at.
    ///
    /// # Errors
    /// [`Refusal`], if it cannot be read or is no TOML.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| Refusal(format!("{name}: {error}")))?;
        Self::parse(name, text)
    }

    /// [`read`](Self::read) without the reading.
    ///
    /// # Errors
    /// [`Refusal`], if it is no TOML.
    pub fn parse(name: String, text: String) -> Result<Self, Refusal> {
        let mut file = Self { name, text, top: Vec::new(), targets: Vec::new() };
        let text = file.text.clone();
        let table = DeTable::parse(&text).map_err(|error| {
            let place = error.span().unwrap_or(0..0);
            file.refuse(&place, error.message())
        })?;
        for (key, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Table(targets) if key.get_ref() == "target" => {
                    for (name, value) in targets {
                        let DeValue::Table(entries) = value.get_ref() else {
                            return Err(file.refuse(&value.span(), "write [target.NAME] with its settings below"));
                        };
                        let entries = entries.iter().map(|(key, value)| file.entry(key.get_ref(), value));
                        let target = TargetTable {
                            name: name.get_ref().to_string(),
                            place: name.span(),
                            entries: entries.collect::<Result<_, _>>()?,
                        };
                        file.targets.push(target);
                    }
                }
                _ if key.get_ref() == "target" => {
                    return Err(file.refuse(&value.span(), "write [target.NAME] with its settings below"));
                }
                _ => file.top.push(file.entry(key.get_ref(), value)?),
            }
        }
        file.targets.sort_by_key(|target| target.place.start);
        Ok(file)
    }

    fn entry(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Entry, Refusal> {
        let place = value.span();
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return Err(self.refuse(&place, "write one value, like \"3s\" or 3"));
            }
        };
        Ok(Entry { key: key.to_owned(), value, place })
    }

    /// Checks each entry by itself, as if it stood on this command line.
    ///
    /// # Errors
    /// [`Refusal`] of the first that is no flag of the command, or has a value that its flag refuses.
    pub fn check(&self, entries: &[Entry], command: &Command) -> Result<(), Refusal> {
        for Entry { key, value, place } in entries {
            let flags: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            if !flags.contains(&key.as_str()) {
                let said = format!("{key} is no setting here; write one of {}", flags.join(", "));
                return Err(self.refuse(place, &said));
            }
            let words = ["file".to_owned(), format!("--{key}={value}")];
            if let Err(error) = command.clone().try_get_matches_from(words) {
                return Err(self.refuse(place, &in_short(&error)));
            }
        }
        Ok(())
    }

    /// Refuses what stands at `place`.
    pub fn refuse(&self, place: &Place, said: &str) -> Refusal {
        let before = &self.text[..place.start.min(self.text.len())];
        let number = before.matches('\n').count() + 1;
        let line = self.text.lines().nth(number - 1).unwrap_or_default().trim_end();
        Refusal(format!("{}, line {number}: {said}\n    {line}", self.name))
    }
}

/// What clap says, without the flag's name and the advice to ask for help.
fn in_short(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    let text = error.to_string();
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("For more")).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}
