//! `scgi man`: the manual, made from the same texts as `--help`.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use scgi_proto::BoxError;

use crate::Cli;
use crate::output::print;

/// Prints a page of the manual
///
/// To read one: man <(scgi man request), or scgi man request | man -l -
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The page of this command; without it, the one of the program
    command: Option<String>,
}

pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, BoxError> {
    let mut page = Vec::new();
    Man::new(command(args.command.as_deref())?).render(&mut page)?;
    print(&String::from_utf8(page)?)?;
    Ok(ExitCode::SUCCESS)
}

fn command(name: Option<&str>) -> Result<Command, BoxError> {
    let mut program = Cli::command();
    // Sets the full name of each command, as in `scgi-request`.
    program.build();
    let Some(name) = name else { return Ok(program) };
    let command = program.find_subcommand(name).cloned();
    Ok(command.ok_or_else(|| format!("there is no command {name}; scgi --help names them"))?)
}
