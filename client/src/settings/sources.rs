//! What stands on the command line, in the environment and in the file, put together.

use std::{collections::HashSet, ffi::OsString};

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, error::ErrorKind, parser::ValueSource};

use super::{
    Contradiction, Entry, File, NamedUrl, Process, Refusal, Settings, Target, TargetSettings, Words, http_url,
    target_name,
};

pub(super) fn refused(refusal: Refusal) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{refusal}\n"))
}

/// Where settings come from.
pub(super) struct Sources<'a> {
    /// The command line and the environment.
    pub(super) matches: &'a ArgMatches,
    /// The file.
    pub(super) file: Option<&'a File>,
}

impl Sources<'_> {
    /// All settings, each from the source of the greatest weight.
    ///
    /// # Errors
    /// A sentence that says which word or line is wrong, and what to write instead.
    pub(super) fn settings(&self) -> Result<Settings, clap::Error> {
        let (of_process, of_target) =
            (Process::augment_args(Command::new("")), TargetSettings::augment_args(Command::new("")));
        if let Some(file) = self.file {
            let at_top = TargetSettings::augment_args(of_process.clone());
            let in_target = of_target.clone().arg(clap::Arg::new("url").long("url").value_parser(http_url));
            file.check(&file.top, &at_top).map_err(refused)?;
            for table in &file.targets {
                target_name(&table.name).map_err(|said| refused(file.refuse(&table.place, &said)))?;
                file.check(&table.entries, &in_target).map_err(refused)?;
            }
        }
        let top = self.file.map_or(&[][..], |file| &file.top);
        let words = self.words(&of_process, &[top]);
        let process = Process::from_arg_matches(&of_process.try_get_matches_from(words)?)?;

        let mut targets = Vec::new();
        for (NamedUrl { name, url }, table) in self.names(&process, top)? {
            let tables = [table, top];
            let matches = of_target.clone().try_get_matches_from(self.words(&of_target, &tables))?;
            let settings = TargetSettings::from_arg_matches(&matches)?;
            if let Some(Contradiction { between, said }) = settings.contradiction() {
                let found = Contradiction { between, said: format!("{said} (target {name})") };
                return Err(self.contradiction(&found, &tables));
            }
            targets.push(Target { name, url, settings });
        }
        Ok(Settings { process, targets })
    }

    /// The targets, and what the file says of each.
    fn names(&self, process: &Process, top: &[Entry]) -> Result<Vec<(NamedUrl, &[Entry])>, clap::Error> {
        let mut named: Vec<(NamedUrl, &[Entry])> = Vec::new();
        for table in self.file.map_or(&[][..], |file| &file.targets) {
            let given = process.target.iter().find(|given| given.name == table.name).map(|given| given.url.clone());
            let written =
                || table.entries.iter().find(|entry| entry.key == "url").and_then(|entry| http_url(&entry.value).ok());
            let Some(url) = given.or_else(written) else {
                let file = self.file.expect("a table stands in a file");
                return Err(refused(
                    file.refuse(&table.place, "write its url too, like url = \"http://backend:5000/data\""),
                ));
            };
            named.push((NamedUrl { name: table.name.clone(), url }, &table.entries));
        }
        for given in &process.target {
            if !named.iter().any(|(one, _)| one.name == given.name) {
                named.push((given.clone(), &[]));
            }
        }
        let mut before = HashSet::new();
        if let Some(NamedUrl { name, .. }) = process.target.iter().find(|one| !before.insert(&one.name)) {
            let said = format!("--target {name} is there twice: each target has a name of its own");
            return Err(Words::command().error(ErrorKind::ValueValidation, said));
        }
        if named.is_empty() {
            let only = NamedUrl { name: process.breaker_name.clone(), url: process.backend_url.clone() };
            return Ok(vec![(only, &[])]);
        }
        for between in ["backend-url", "breaker-name"] {
            if self.is_given(between) || top.iter().any(|entry| entry.key == between) {
                let said = format!("--{between} is for one target only: leave it out, as there are targets with names");
                return Err(self.contradiction(&Contradiction { between: vec![between], said }, &[top]));
            }
        }
        Ok(named)
    }

    /// The command line or the environment has it.
    fn is_given(&self, flag: &str) -> bool {
        let source = self.matches.value_source(&flag.replace('-', "_"));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }

    /// A command line for `command`: each flag as the source of the greatest weight has it, of the `tables` the first.
    fn words(&self, command: &Command, tables: &[&[Entry]]) -> Vec<OsString> {
        let mut words = vec![OsString::new()];
        for (id, flag) in command.get_arguments().filter_map(|arg| Some((arg.get_id().as_str(), arg.get_long()?))) {
            let mut push = |value: OsString| {
                let mut word = OsString::from(format!("--{flag}="));
                word.push(value);
                words.push(word);
            };
            if self.is_given(flag) {
                self.matches.get_raw(id).into_iter().flatten().for_each(|value| push(value.to_owned()));
            } else if let Some(entry) = tables.iter().find_map(|table| table.iter().find(|entry| entry.key == flag)) {
                push(OsString::from(&entry.value));
            }
        }
        words
    }

    /// Says it at the line that is in the way, or of the command line if none is.
    fn contradiction(&self, found: &Contradiction, tables: &[&[Entry]]) -> clap::Error {
        let Contradiction { between, said } = found;
        let of_file = between.iter().filter(|flag| !self.is_given(flag));
        let line = of_file
            .flat_map(|flag| tables.iter().find_map(|table| table.iter().find(|entry| entry.key == **flag)))
            .next();
        match (self.file, line) {
            (Some(file), Some(entry)) => refused(file.refuse(&entry.place, said)),
            _ => Words::command().error(ErrorKind::ValueValidation, said),
        }
    }
}
