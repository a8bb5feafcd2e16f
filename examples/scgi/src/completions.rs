//! `scgi completions`: prints the completion script of a shell.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use scgi_proto::BoxError;

use crate::Cli;
use crate::output::print;

/// Prints the completion script of a shell
///
/// For bash: scgi completions bash > ~/.local/share/bash-completion/completions/scgi
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, BoxError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "scgi", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
